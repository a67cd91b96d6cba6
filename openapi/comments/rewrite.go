package main

import (
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"strings"
	"unicode"
	"unicode/utf8"
)

// width is the maximum length of a comment line in characters, without indentation.
const width = 96

// rewrite returns a Go file with its doc comments rewritten.
func rewrite(source []byte) ([]byte, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	texts := map[*ast.CommentGroup]string{}
	for _, decl := range file.Decls {
		collect(decl, texts)
	}

	var out strings.Builder
	written := 0
	for _, group := range file.Comments { // the comments have the order of the file
		text, ok := texts[group]
		if !ok {
			continue
		}
		out.Write(source[written:files.Position(group.Pos()).Offset])
		out.WriteString(lines(text))
		written = files.Position(group.End()).Offset
	}
	out.Write(source[written:])
	return format.Source([]byte(out.String()))
}

// collect stores the new text of each doc comment of a declaration.
func collect(decl ast.Decl, texts map[*ast.CommentGroup]string) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		store(texts, d.Doc, "", keep)
	case *ast.GenDecl:
		if d.Tok == token.CONST {
			store(texts, d.Doc, "", values)
		}
		for _, spec := range d.Specs {
			s, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			doc := s.Doc
			if doc == nil {
				doc = d.Doc
			}
			store(texts, doc, s.Name.Name, sentence)
			ast.Inspect(s.Type, func(n ast.Node) bool {
				field, ok := n.(*ast.Field)
				if !ok || len(field.Names) != 1 {
					return true
				}
				form := phrase
				if _, method := field.Type.(*ast.FuncType); method {
					form = action
				}
				store(texts, field.Doc, field.Names[0].Name, form)
				return true
			})
		}
	}
}

// store stores the new text of a comment, which form returns. It skips a comment with a directive.
func store(texts map[*ast.CommentGroup]string, doc *ast.CommentGroup, name string, form func(name, text string) string) {
	if doc == nil {
		return
	}
	var raw []string
	for _, line := range doc.List {
		text, ok := strings.CutPrefix(line.Text, "//")
		if !ok || text != "" && !strings.HasPrefix(text, " ") && !strings.HasPrefix(text, "\t") {
			return
		}
		raw = append(raw, strings.TrimPrefix(text, " "))
	}
	texts[doc] = form(name, strings.Join(raw, "\n"))
}

func keep(_, text string) string { return text }

func values(_, text string) string {
	return strings.Replace(text, "Defines values for ", "The values of ", 1)
}

// sentence returns a sentence with the name and the description of a type.
func sentence(name, text string) string {
	if operation, ok := strings.CutPrefix(text, name+" defines parameters for "); ok {
		return name + " are the parameters of " + operation
	}
	if model, ok := strings.CutPrefix(text, name+" defines model for "); ok {
		return name + " is the schema " + strings.TrimSuffix(model, ".") + ", which the overlay does not describe."
	}
	description, ok := strings.CutPrefix(text, name+" ")
	if first, _ := utf8.DecodeRuneInString(description); !ok || !unicode.IsUpper(first) {
		return text // the text already is a sentence
	}
	return name + " is " + lowerFirst(description)
}

// phrase removes the name of a field from the start of its description.
func phrase(name, text string) string {
	description, ok := strings.CutPrefix(text, name+" ")
	if first, _ := utf8.DecodeRuneInString(description); !ok || !unicode.IsUpper(first) {
		return text
	}
	return description
}

// action returns a sentence with the name and the description of an interface method.
func action(name, text string) string {
	if description := phrase(name, text); description != text {
		return name + " " + lowerFirst(description)
	}
	return text
}

// lowerFirst changes the first letter to lowercase, unless the first word is an abbreviation.
func lowerFirst(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if len(word) > 1 && strings.ToUpper(word) == word {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}

// lines returns a text as a comment. It wraps long lines, except those of lists and preformatted
// text.
func lines(text string) string {
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || strings.HasPrefix(line, "\t") || strings.HasPrefix(line, " ") {
			out = append(out, "//"+strings.TrimRight(" "+line, " "))
			continue
		}
		for line != "" {
			var head string
			head, line = split(line)
			out = append(out, "// "+head)
		}
	}
	return strings.Join(out, "\n")
}

// split splits a line at the last space within the width.
func split(line string) (head, rest string) {
	if utf8.RuneCountInString(line) <= width {
		return line, ""
	}
	cut := -1
	count := 0
	for i, r := range line {
		if r == ' ' && (count <= width || cut < 0) {
			cut = i
		}
		if count++; count > width && cut >= 0 {
			break
		}
	}
	if cut < 0 {
		return line, ""
	}
	return line[:cut], line[cut+1:]
}
