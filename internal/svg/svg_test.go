package svg

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"
)

func TestPicture(t *testing.T) {
	p := New(100, 50, "a < b", `"quoted" & long`)
	p.Polygon(Blue, Rectangle(1, 2, 3, 4)...)
	p.DashedLine(Ink, 1.5, At(0, 0), At(10.04, 20))
	p.Text(At(5, 6), End, Bold(12, Green), "x > y")
	var read struct {
		Title  string   `xml:"title"`
		Desc   string   `xml:"desc"`
		Style  string   `xml:"style"`
		Texts  []string `xml:"text"`
		Shapes []struct {
			Class  string `xml:"class,attr"`
			Points string `xml:"points,attr"`
		} `xml:"polygon"`
	}
	if err := xml.Unmarshal(p.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if read.Title != "a < b" || read.Desc != `"quoted" & long` || len(read.Texts) != 1 || read.Texts[0] != "x > y" {
		t.Errorf("the picture has %+v", read)
	}
	if len(read.Shapes) != 2 || read.Shapes[0].Class != "paper" || read.Shapes[1].Points != "1.0,2.0 3.0,2.0 3.0,4.0 1.0,4.0" {
		t.Errorf("the polygons are %+v, want the background and one more", read.Shapes)
	}
	// Each class has a color for light pages and one for dark pages.
	for _, s := range shades {
		if strings.Count(read.Style, "."+string(s.color)+"{fill:") != 2 {
			t.Errorf("the style of %s is not there twice", s.color)
		}
	}
}

// A line is hidden outside of its scene, and programs without animations show the end.
func TestTerminal(t *testing.T) {
	for _, test := range []struct {
		scene                    Scene
		display, values, moments string
	}{
		{Scene{0, 10 * time.Second, 10 * time.Second}, "inline", "", ""},
		{Scene{0, 5 * time.Second, 10 * time.Second}, "none", "inline;none", "0;0.5000"},
		{Scene{5 * time.Second, 10 * time.Second, 10 * time.Second}, "inline", "none;inline", "0;0.5000"},
		{Scene{time.Second, 2 * time.Second, 10 * time.Second}, "none", "none;inline;none", "0;0.1000;0.2000"},
	} {
		p := New(10, 10, "title", "description")
		p.Terminal(test.scene, At(1, 1), 12, Span{Blue, "a"}, Span{Ink, " b"})
		var read struct {
			Text struct {
				Display string   `xml:"display,attr"`
				Spans   []string `xml:"tspan"`
				Animate struct {
					Values   string `xml:"values,attr"`
					KeyTimes string `xml:"keyTimes,attr"`
				} `xml:"animate"`
			} `xml:"text"`
		}
		if err := xml.Unmarshal(p.Bytes(), &read); err != nil {
			t.Fatal(err)
		}
		if line := read.Text; line.Display != test.display || line.Animate.Values != test.values || line.Animate.KeyTimes != test.moments ||
			strings.Join(line.Spans, "|") != "a| b" {
			t.Errorf("%+v: the line is %+v", test.scene, line)
		}
	}
}
