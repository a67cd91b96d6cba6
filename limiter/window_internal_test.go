package limiter

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// units is the reference of a window: the times of all used units.
type units []time.Duration

// after returns how many units are in a window of the given span at the given time.
func (u units) after(now, span time.Duration) int {
	n := 0
	for _, at := range u {
		if at+span > now {
			n++
		}
	}
	return n
}

// TestWindowAgainstList compares a window with a list of all used units. It never counts too few and never lets a
// call start early. It is late by at most one part in 600 of its span.
func TestWindowAgainstList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := time.Duration(rapid.SampledFrom([]int{600, 6000, 60_000}).Draw(t, "span")) * time.Millisecond
		late := span / windowEntries
		w := window{span: span, limit: rapid.IntRange(1, 300).Draw(t, "limit")}
		var list units
		var now time.Duration
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			// Steps range from less than a part to a third of the span.
			now += late * time.Duration(rapid.SampledFrom([]int{0, 1, 3, 10, 200, 2000}).Draw(t, "after")) / 10
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0, 1, 2:
				n := rapid.IntRange(0, 20).Draw(t, "n")
				w.add(now, n)
				for range n {
					list = append(list, now)
				}
			case 3:
				if len(list) > 0 {
					i := rapid.IntRange(0, len(list)-1).Draw(t, "which")
					w.remove(list[i], 1)
					list = append(list[:i], list[i+1:]...)
				}
			case 4:
				w.expire(now)
			}

			check := func(what string, got, now time.Duration, used int) {
				if least, maximum := list.after(now, span), list.after(now, span+late); used < least || used > maximum {
					t.Fatalf("%s at %v (after %v): %d used, want %d to %d", what, now, got, used, least, maximum)
				}
			}
			w.expire(now)
			check("used", 0, now, w.used)
			later := now + span*time.Duration(rapid.IntRange(0, 12).Draw(t, "later"))/10
			check("usedAt", later-now, later, w.usedAt(later))

			n := rapid.IntRange(0, w.limit).Draw(t, "wanted")
			d := w.wait(now, n)
			if d < 0 {
				t.Fatalf("wait of %v", d)
			}
			if used := list.after(now+d, span); used+n > w.limit {
				t.Fatalf("at %v: after %v %d are used: %d of %d are too early", now, d, used, n, w.limit)
			}
			if early := now + d - late - 1; d > late && list.after(early, span)+n <= w.limit {
				t.Fatalf("at %v: %d of %d would have fit before %v, late by more than %v", now, n, w.limit, d, late)
			}
		}
	})
}

func TestWindowOverItsLimit(t *testing.T) {
	w := window{span: time.Minute, limit: 10}
	if d := w.wait(0, 11); d != Never {
		t.Errorf("11 units in a window of 10 take %v, want Never", d)
	}
	w.add(0, 25) // more than the limit, as if a call used more than its estimate
	for n, want := range map[int]time.Duration{0: time.Minute, 10: time.Minute, 11: Never} {
		if d := w.wait(0, n); d != want {
			t.Errorf("%d units besides 25 in a window of 10 take %v, want %v", n, d, want)
		}
	}
	if d := w.wait(time.Minute, 10); d != 0 {
		t.Errorf("a minute later 10 units take %v, want 0", d)
	}
}

// Units used close together become one entry, which leaves the window with its last unit.
func TestWindowMergesNeighbors(t *testing.T) {
	const ms = time.Millisecond
	w := window{span: time.Minute, limit: 10} // parts of 120 ms
	w.add(0, 1)
	w.add(119*ms, 1)
	w.add(120*ms, 1)
	if w.count != 2 {
		t.Fatalf("%d entries, want 2", w.count)
	}
	for at, used := range map[time.Duration]int{
		time.Minute + 119*ms - 1: 3,
		time.Minute + 119*ms:     1,
		time.Minute + 120*ms - 1: 1,
		time.Minute + 120*ms:     0,
	} {
		if got := w.usedAt(at); got != used {
			t.Errorf("at %v %d are used, want %d", at, got, used)
		}
	}
}

func TestWindowExpires(t *testing.T) {
	w := window{span: time.Second, limit: 10}
	w.add(time.Second, 3)
	for at, used := range []int{3, 3, 0} { // a use leaves the window exactly after its span
		if w.expire(2*time.Second + time.Duration(at-2)); w.used != used {
			t.Errorf("%d ns from the end %d are used, want %d", at-2, w.used, used)
		}
	}
}

func TestWindowRemove(t *testing.T) {
	w := window{span: time.Second, limit: 10}
	w.add(0, 1)
	w.add(500*time.Millisecond, 2)
	for _, c := range []struct {
		at   time.Duration
		used int
	}{
		{250 * time.Millisecond, 3}, // nothing was used at that time
		{500 * time.Millisecond, 2},
		{0, 1},
		{0, 1}, // already removed
		{500 * time.Millisecond, 0},
		{500 * time.Millisecond, 0},
		{time.Second, 0},
	} {
		if w.remove(c.at, 1); w.used != c.used {
			t.Errorf("after removing the use at %v, %d are used, want %d", c.at, w.used, c.used)
		}
	}
	w.add(time.Second, 1)
	w.add(3*time.Second, 1)
	if w.remove(time.Second, 1); w.used != 1 {
		t.Errorf("%d used, want 1, because expired uses cannot be removed", w.used)
	}
}

// A million uses in the time of ten windows take no more memory than 600.
func TestWindowMemory(t *testing.T) {
	w := window{span: time.Minute, limit: 1}
	const uses = 1_000_000
	for i := range time.Duration(uses) {
		w.add(i*10*time.Minute/uses, 1)
		if len(w.uses) > 1024 || w.count > windowEntries+2 {
			t.Fatalf("after %d uses: %d entries in a ring of %d", i+1, w.count, len(w.uses))
		}
	}
	if w.used < uses/10 || w.used > uses/10+2*uses/10/windowEntries {
		t.Errorf("%d are used, want a tenth of %d", w.used, uses)
	}
}

func TestWindowCloneSharesNothing(t *testing.T) {
	w := window{span: time.Minute, limit: 10}
	w.add(0, 1)
	c := w.clone()
	c.add(time.Millisecond, 5) // joins the entry
	c.add(time.Second, 1)
	if w.used != 1 || w.count != 1 || w.at(0).n != 1 || c.used != 7 || c.count != 2 {
		t.Errorf("original %+v, clone %+v", w, c)
	}
}
