package schema

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// A field is a struct field in the JSON form of the struct.
type field struct {
	reflect.StructField
	name     string
	options  []string // the options of the json tag
	tagged   bool     // whether the tag sets the name
	index    []int
	embedded bool // whether its struct is embedded through a pointer to an unexported type
}

func (f field) has(option string) bool { return slices.Contains(f.options, option) }

// fieldsOf returns the JSON fields of a struct in order, by the rules of encoding/json. Of several
// fields with one name, the least nested one is used, and then the one with a tagged name. If
// several remain, none is used.
func fieldsOf(t reflect.Type) []field {
	type level struct {
		reflect.Type
		index    []int
		embedded bool
	}
	var found []field
	seen := map[reflect.Type]bool{}
	for current := []level{{Type: t}}; len(current) > 0; {
		var next []level
		count := map[reflect.Type]int{}
		for _, l := range current {
			count[l.Type]++
		}
		for _, l := range current {
			if seen[l.Type] {
				continue
			}
			seen[l.Type] = true
			for i := range l.NumField() {
				f, inner, ok := fieldOf(l.Field(i), append(slices.Clip(l.index), i))
				switch {
				case !ok:
				case inner != nil:
					hidden := l.embedded || f.Type.Kind() == reflect.Pointer && !f.IsExported()
					next = append(next, level{inner, f.index, hidden})
				default:
					f.embedded = l.embedded
					found = append(found, f)
					if count[l.Type] > 1 {
						found = append(found, f) // occurs twice at one level, so neither is used
					}
				}
			}
		}
		current = next
	}
	return dominant(found)
}

// fieldOf reads the tag of a field. If the field is an embedded struct, inner is its type, because
// its fields are promoted.
func fieldOf(sf reflect.StructField, index []int) (f field, inner reflect.Type, ok bool) {
	structType := sf.Type
	if structType.Kind() == reflect.Pointer {
		structType = structType.Elem()
	}
	isEmbedded := sf.Anonymous && structType.Kind() == reflect.Struct
	tag := sf.Tag.Get("json")
	if tag == "-" || !sf.IsExported() && !isEmbedded {
		return f, nil, false
	}
	name, options, _ := strings.Cut(tag, ",")
	if !isName(name) {
		name = ""
	}
	f = field{StructField: sf, name: name, options: strings.Split(options, ","), tagged: name != "", index: index}
	if isEmbedded && name == "" {
		return f, structType, true
	}
	if name == "" {
		f.name = sf.Name
	}
	return f, nil, sf.IsExported() || isEmbedded && sf.Type.Kind() == reflect.Struct
}

// isName reports whether encoding/json accepts a name in a tag.
func isName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

func dominant(found []field) []field {
	byName := map[string][]field{}
	for _, f := range found {
		byName[f.name] = append(byName[f.name], f)
	}
	var list []field
	for _, same := range byName {
		slices.SortStableFunc(same, rank)
		if len(same) == 1 || rank(same[0], same[1]) < 0 {
			list = append(list, same[0])
		}
	}
	slices.SortFunc(list, func(a, b field) int { return slices.Compare(a.index, b.index) })
	return list
}

// rank compares fields of one name: the least nested first, then tagged ones.
func rank(a, b field) int {
	switch {
	case len(a.index) != len(b.index):
		return len(a.index) - len(b.index)
	case a.tagged == b.tagged:
		return 0
	case a.tagged:
		return -1
	}
	return 1
}
