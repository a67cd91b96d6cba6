package main

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// A change is one incompatible change of the API.
type change struct {
	text string
	// names are the ways to write the symbol, such as "generated.Client.Send",
	// "Client.Send" and "Send".
	names []string
}

// is reports whether an announced name is that of the changed symbol. A name that ends with a
// star is that of all symbols that begin so.
func (c change) is(announced string) bool {
	return slices.ContainsFunc(c.names, func(name string) bool {
		prefix, all := strings.CutSuffix(announced, "*")
		return name == announced || all && prefix != "" && strings.HasPrefix(name, prefix)
	})
}

var (
	line    = regexp.MustCompile(`(?m)^- (.*)$`)
	gone    = regexp.MustCompile(`^package (\S+): removed`)
	pointer = strings.NewReplacer("(", "", ")", "", "*", "")
)

// changes reads a report of apidiff about a module. It leaves out those of commands.
func changes(report, module string, commands []string) []change {
	var all []change
	for _, match := range line.FindAllStringSubmatch(report, -1) {
		text := match[1]
		if match := gone.FindStringSubmatch(text); match != nil {
			all = append(all, change{text, []string{match[1], strings.TrimPrefix(match[1], module+"/"), path.Base(match[1])}})
			continue
		}
		dir, name, ok := symbol(text)
		if !ok { // an unknown form, which nothing can announce
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

// symbol finds the package's directory and the symbol's name in a line such as
// "./generated.(*Client).Send: changed from …". The package of the module itself is not named.
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
	bold = regexp.MustCompile(`(?s)\*\*(.+?)\*\*`)
	code = regexp.MustCompile("`([^`\n]+)`")
)

// announced lists what is named as code in the bold texts under Unreleased.
func announced(changelog string) []string {
	_, unreleased, _ := strings.Cut(changelog, "\n## Unreleased\n")
	unreleased, _, _ = strings.Cut(unreleased, "\n## ")
	var names []string
	for _, text := range bold.FindAllStringSubmatch(unreleased, -1) {
		for _, name := range code.FindAllStringSubmatch(text[1], -1) {
			names = append(names, name[1])
		}
	}
	return names
}
