package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// change is one incompatible change of the API.
type change struct {
	text string
	// names are the accepted names of the symbol, such as "generated.Client.Send",
	// "Client.Send" and "Send".
	names []string
}

// matches reports whether an announced name refers to the changed symbol. A name with a final star
// refers to all symbols with that prefix.
func (c change) matches(announced string) bool {
	return slices.ContainsFunc(c.names, func(name string) bool {
		prefix, all := strings.CutSuffix(announced, "*")
		return name == announced || all && prefix != "" && strings.HasPrefix(name, prefix)
	})
}

var (
	line           = regexp.MustCompile(`(?m)^- (.*)$`)
	removedPackage = regexp.MustCompile(`^package (\S+): removed`)
	pointer        = strings.NewReplacer("(", "", ")", "", "*", "")
)

// changes returns the changes in an apidiff report about a module, without those of commands.
func changes(report, module string, commands []string) []change {
	var all []change
	for _, match := range line.FindAllStringSubmatch(report, -1) {
		text := match[1]
		if match := removedPackage.FindStringSubmatch(text); match != nil {
			all = append(all, change{text, []string{match[1], strings.TrimPrefix(match[1], module+"/"), path.Base(match[1])}})
			continue
		}
		dir, name, ok := symbol(text)
		if !ok { // an unknown format, which cannot be announced
			all = append(all, change{text: text})
			continue
		}
		if slices.Contains(commands, path.Join(module, dir)) {
			continue
		}
		names := []string{path.Base(path.Join(module, dir)) + "." + name, name}
		if receiver, member, ok := strings.Cut(name, "."); ok && receiver != "" {
			names = append(names, member)
		}
		all = append(all, change{text, names})
	}
	return all
}

// symbol returns the package's directory and the symbol's name in a line such as
// "./generated.(*Client).Send: changed from …". Lines about the module's root package do not name it.
func symbol(text string) (dir, name string, ok bool) {
	name, _, ok = strings.Cut(text, ": ")
	name, _, _ = strings.Cut(name, ", method set of ")
	if rest, below := strings.CutPrefix(name, "./"); below {
		slash := strings.LastIndex(rest, "/") + 1
		dir, name, ok = strings.Cut(rest[slash:], ".")
		dir = rest[:slash] + dir
	}
	return dir, pointer.Replace(name), ok && !strings.Contains(name, " ")
}

var (
	boldText = regexp.MustCompile(`(?s)\*\*(.+?)\*\*`)
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
)

// announced returns the code spans in bold texts under Unreleased.
func announced(changelog string) []string {
	_, unreleased, _ := strings.Cut(changelog, "\n## Unreleased\n")
	unreleased, _, _ = strings.Cut(unreleased, "\n## ")
	var names []string
	for _, text := range boldText.FindAllStringSubmatch(unreleased, -1) {
		for _, name := range codeSpan.FindAllStringSubmatch(text[1], -1) {
			names = append(names, name[1])
		}
	}
	return names
}
