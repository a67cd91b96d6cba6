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

// width is the length in characters that a line of a comment keeps to, indentation aside.
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
	for _, group := range file.Comments { // in the order of the file
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

// collect notes the text of each doc comment of a declaration.
func collect(decl ast.Decl, texts map[*ast.CommentGroup]string) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		note(texts, d.Doc, "", keep)
	case *ast.GenDecl:
		if d.Tok == token.CONST {
			note(texts, d.Doc, "", values)
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
			note(texts, doc, s.Name.Name, sentence)
			ast.Inspect(s.Type, func(n ast.Node) bool {
				field, ok := n.(*ast.Field)
				if !ok || len(field.Names) != 1 {
					return true
				}
				form := phrase
				if _, method := field.Type.(*ast.FuncType); method {
					form = action
				}
				note(texts, field.Doc, field.Names[0].Name, form)
				return true
			})
		}
	}
}

// note notes what form makes of a comment. A comment with a directive is left alone.
func note(texts map[*ast.CommentGroup]string, doc *ast.CommentGroup, name string, form func(name, text string) string) {
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

// sentence makes a sentence of a type's name and its description.
func sentence(name, text string) string {
	if operation, ok := strings.CutPrefix(text, name+" defines parameters for "); ok {
		return name + " are the parameters of " + operation
	}
	if model, ok := strings.CutPrefix(text, name+" defines model for "); ok {
		return name + " is the schema " + strings.TrimSuffix(model, ".") + ", which the overlay does not describe."
	}
	description, ok := strings.CutPrefix(text, name+" ")
	if first, _ := utf8.DecodeRuneInString(description); !ok || !unicode.IsUpper(first) {
		return text // it is a sentence already
	}
	return name + " is " + lowerFirst(description)
}

// phrase removes a field's name from the beginning of its description.
func phrase(name, text string) string {
	description, ok := strings.CutPrefix(text, name+" ")
	if first, _ := utf8.DecodeRuneInString(description); !ok || !unicode.IsUpper(first) {
		return text
	}
	return description
}

// action makes a sentence of the name of an interface's method and what the method does.
func action(name, text string) string {
	if description := phrase(name, text); description != text {
		return name + " " + lowerFirst(description)
	}
	return text
}

// lowerFirst puts the first letter in lower case, unless it begins an abbreviation.
func lowerFirst(text string) string {
	word, _, _ := strings.Cut(text, " ")
	if len(word) > 1 && strings.ToUpper(word) == word {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}

// lines makes a comment of a text. It wraps what is longer than a line; the lines of a
// list or of preformatted text stay as they are.
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

// split cuts a line at the last space that keeps the head within the width.
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
