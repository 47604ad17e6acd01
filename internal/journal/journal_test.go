package journal

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestRingKeepsTheLast(t *testing.T) {
	j := New(10*lineCostMin, nil)
	for i := range 100 {
		j.Printf("line %d", i)
	}
	if got := j.Tail(3); !reflect.DeepEqual(got, []string{"line 97", "line 98", "line 99"}) {
		t.Errorf("tail %q", got)
	}
	if n := len(j.Tail(1000)); n != 10 || j.Dropped() != 90 {
		t.Errorf("%d lines kept, %d dropped", n, j.Dropped())
	}
}

func TestWriteSplitsLines(t *testing.T) {
	j := New(1<<20, nil)
	for _, s := range []string{"a", "b\r\nc\n", "\nunfinished"} {
		fmt.Fprint(j, s)
	}
	if got := j.Tail(9); !reflect.DeepEqual(got, []string{"ab", "c", "", "unfinished"}) {
		t.Errorf("%q", got)
	}
}

func TestALineWithoutEndIsBounded(t *testing.T) {
	j := New(1<<20, nil)
	chunk := bytes.Repeat([]byte("x"), 1000)
	for range 1000 {
		j.Write(chunk)
	}
	if n := len(j.partial); n > maxLine+1 {
		t.Fatalf("%d bytes held", n)
	}
	j.Write([]byte("\n"))
	if got := j.Tail(1)[0]; !strings.HasSuffix(got, "x [cut]") {
		t.Errorf("line of %d bytes ends %q", len(got), got[len(got)-8:])
	}
}

func TestSayReachesTheConsole(t *testing.T) {
	var console bytes.Buffer
	j := New(1<<20, &console)
	j.Printf("quiet")
	j.Say("loud\nlouder")
	if console.String() != "loud\nlouder\n" || len(j.Tail(9)) != 3 {
		t.Errorf("console %q, tail %q", console.String(), j.Tail(9))
	}
}
