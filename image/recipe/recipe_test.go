package recipe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ashlar/image/tree"
)

// The recipes of the house parse, and say what they must.
func TestHouse(t *testing.T) {
	files, err := filepath.Glob("../*.recipe")
	if err != nil || len(files) < 2 {
		t.Fatalf("recipes: %v %v", files, err)
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := Parse(file, f)
		if err != nil {
			t.Error(err)
			continue
		}
		if filepath.Base(file) != r.Image+"os.recipe" {
			t.Errorf("%s is of image %q", file, r.Image)
		}
		if len(r.Initramfs.Go) != 1 || r.Initramfs.Go[0].Path != "/init" {
			t.Errorf("%s: initramfs has %v, want one Go main at /init", file, r.Initramfs.Go)
		}
		var tr tree.Tree
		if err := r.Root.AddPlain(&tr); err != nil || tr.Len() == 0 {
			t.Errorf("%s: %d plain entries, %v", file, tr.Len(), err)
		}
	}
}

const head = "image host\nkernel k boot/v*\nstub s stub\n"

func TestParse(t *testing.T) {
	r, err := Parse("r", strings.NewReader(head+`
cmdline a b # comment
cmdline c=1
initramfs {
	go ashlar/x -> /init
	module virtio_blk drivers/net/
}
root {
	deb vmm usr/bin/*
	deb vmm usr/bin/a -> /bin/b
	lib vmm libnss.so.2 libz.so.1
	make os-release -> /etc/os-release
	text /etc/hosts ::1 localhost
	dir /tmp 0777
	link /lib -> usr/lib
}
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.Cmdline, " "); got != "a b c=1" {
		t.Errorf("cmdline %q", got)
	}
	if r.Kernel != (Deb{"k", "boot/v*", ""}) || r.Initramfs.Go[0] != (Go{"ashlar/x", "/init"}) || r.Initramfs.Modules[1] != "drivers/net/" {
		t.Errorf("got %+v", r)
	}
	if r.Root.Debs[1] != (Deb{"vmm", "usr/bin/a", "/bin/b"}) || r.Root.Libs[1] != (Lib{"vmm", "libz.so.1"}) || r.Root.Made[0] != (Made{"os-release", "/etc/os-release"}) {
		t.Errorf("got %+v", r.Root)
	}
	var tr tree.Tree
	if err := r.Root.AddPlain(&tr); err != nil {
		t.Fatal(err)
	}
	e, _ := tr.Get("/etc/hosts")
	if string(e.Data) != "::1 localhost\n" {
		t.Errorf("text %q", e.Data)
	}
	if e, _ := tr.Get("/tmp"); e.Mode.String() != "drwxrwxrwx" {
		t.Errorf("dir %v", e.Mode)
	}
}

func TestMistakesHaveTheirLine(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{head + "initramfs {\n}\nsudo rm\n", `r:6: unknown directive "sudo": want image`},
		{head + "initramfs {\nrun x\n}\n", `r:5: unknown directive "run" in initramfs: want go`},
		{head + "initramfs {\n", "r:4: initramfs is not closed: its brace is in line 4"},
		{head + "initramfs x\n}\n", "want an opening brace"},
		{head + "initramfs {\n}\n}\n", `unknown directive "}"`},
		{head, "the recipe has no initramfs"},
		{"", "the recipe has no image"},
		{"image a\nimage b\n", "r:2: image is already said in line 1"},
		{"image toaster\n", "want host, guest or setup"},
		{"cmdline ashlar.root=00\n", "r:1: cmdline ashlar.root=00: the words that begin with ashlar."},
		{"root {\ngo a /b\n}\n", "r:2: want: go PACKAGE -> /PATH"},
		{"root {\ngo a -> b\n}\n", "r:2: path \"b\": want it clean and with a leading slash"},
		{"root {\ngo a -> /b/../c\n}\n", "want it clean"},
		{"root {\ndeb s /usr/bin/x\n}\n", "r:2: path \"/usr/bin/x\": want it clean and without"},
		{"root {\ndeb s ../x\n}\n", "want it clean"},
		{"root {\ngo a -> /x\ngo b -> /x\n}\n", "r:3: /x is already made in line 2"},
		{"root {\nmake tea -> /x\n}\n", "r:2: make tea: the builder makes only os-release"},
		{"root {\nmodule a/b\n}\n", "r:2: module a/b: want a name"},
		{"root {\nmodule x.ko\n}\n", "r:2: module x.ko: want a name"},
		{"root {\nlib vmm zlib\n}\n", "r:2: lib zlib: want a soname"},
		{"root {\ndir /x 99\n}\n", "r:2: want: dir"},
		{"root {\ndir /x 1777\n}\n", "r:2: want: dir"},
		{"# " + strings.Repeat("x", 5000) + "\n", "longer than 4096"},
		{strings.Repeat("\n", 6000), "more than 5000 lines"},
	} {
		_, err := Parse("r", strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: got %v, want %q", c.text, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(head + "initramfs {\ngo a -> /init\n}\n")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse("r", strings.NewReader(s))
		if (r == nil) == (err == nil) {
			t.Errorf("recipe %v, error %v", r, err)
		}
	})
}
