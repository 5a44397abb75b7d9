package lineage_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/cairn-ca/cairn/internal/bot/lineage"
)

// python is Debian's interpreter, with the modules that the certbot package brings.
func python(t *testing.T, script string, stdin []byte, args ...string) []byte {
	t.Helper()
	for _, needed := range []string{"/usr/bin/certbot", "/usr/bin/python3"} {
		if _, err := os.Stat(needed); err != nil {
			t.Fatalf("%s is missing: install the Debian package certbot", needed)
		}
	}
	command := exec.Command("/usr/bin/python3", append([]string{"-c", script}, args...)...)
	command.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, &stderr)
	}
	return out
}

// readAll has ConfigObj read a list of texts, as certbot has it read a file.
const readAll = `
import configobj, io, json, sys
def tree(s):
    return {"values": {k: dict.__getitem__(s, k) for k in s.scalars}, "order": s.scalars,
            "sections": {k: tree(dict.__getitem__(s, k)) for k in s.sections}}
out = []
for text in json.load(sys.stdin):
    try:
        out.append(tree(configobj.ConfigObj(io.BytesIO(text.encode()).readlines(), encoding='utf-8', default_encoding='utf-8', interpolation=False)))
    except configobj.ConfigObjError as e:
        out.append(None)
json.dump(out, sys.stdout)
`

type tree struct {
	Values   map[string]any   `json:"values"`
	Order    []string         `json:"order"`
	Sections map[string]*tree `json:"sections"`
}

func treeOf(s *lineage.Section) *tree {
	t := &tree{Values: map[string]any{}, Order: []string{}, Sections: map[string]*tree{}}
	for _, key := range s.Keys() {
		t.Order = append(t.Order, key)
		value, _ := s.Raw(key)
		if !value.IsList() {
			t.Values[key] = value.String()
			continue
		}
		items := []any{}
		for _, item := range value.Items() {
			items = append(items, item)
		}
		t.Values[key] = items
	}
	for _, name := range s.Sections() {
		t.Sections[name] = treeOf(s.Section(name))
	}
	return t
}

// hard are files whose meaning is easily got wrong.
var hard = []string{
	"", "\n", "# only a comment", "a = 1", "a=1", "  a  =  1  ", "a = 1 # note", "a = 1#note", "a =", "a = # note", "a = \"\"", "a = ''",
	"a = \"x\"", "a = 'x'", "a = 'echo \"lin=$RENEWED_LINEAGE\"'", "a = \"it's\"", "a = it's", "a = say \"x\"", "a = \"x\" y", "a = \"x\" y\"",
	"a = x, y", "a = x,y", "a = x,", "a = x , # note", "a = ,", "a = , # note", "a = ,,", "a = x,,y", "a = x, , y", "a = , x", "a = \"x,y\", z",
	"a = 'x', \"y\"", "a = \"x, y", "a = 'x\"", "a = \"x#y\"", "a = x#y, z", "a = x, y#z", "a = x, y # z, w", "a = \"x\", 'b\" , c",
	"a = \"a\"b\"", "a = \"a\", b\"", "a = \"\",", "a = \"\", ''", "a = x, \"\"", "a = x, \"", "a = \"", "a = '", "a = 'x','y' , 'z'  ",
	"a = \"\"\"x\"\"\"", "a = \"\"\"x\ny\"\"\" # note", "a = '''x\n  y\n'''", "a = '''x", "a = '''x''' y", "a = \"\"\"x\"\"\" y\"\"\"",
	"a = \"\"\"x\n y\"\"\" z\"\"\"", "a = \"\"\"\"x\"\"\"\"", "a = '''\r\nx\r\ny'''\r\nb = 2\r\n", "a = '''x\nb = 1\n[s]\n'''\nc = 3",
	"[s]", "[s]\na = 1", "[ s ]", "[[s]]", "[s]\n[[t]]\na = 1\n[u]\nb = 2", "[s]\n[[[t]]]", "[s]\n[[t]]\n[[[u]]]\na = 1\n[[v]]\n", "[s] # note",
	"[\"s ]\"]", "['s']", "[s", "[s]]", "[[s]", "[]", "[[]", "[s] x", "[s]\n[s]", "s = 1\n[s]", "[s]\n[t]\n[[s]]", "[a] = b", "[a]=b]",
	"a = 1\na = 2", "a", "a b", "= 1", " = 1", "'a b' = 1", "\"a = b\" = 1", "\"a\" b = 1", "'a = 1", "a = b = c", "a == b", "a.b-c = 1", "*.x.org = /w",
	"\t[s]\n\ta = 1\n", "a = 1\r\nb = 2\r\n", "a = x\ry\n", "\ufeffa = 1\n", "ä = ö\u00a0", "a = x\u2003", "a = %(b)s", "a = 100%", "a = \x1cx",
	"a = /var/www,\n", "post_hook = 'a, b', c\n", "a = {\"x\": \"y\", 'z': 1}", "a = x;y", "a = x \\\ny", ";a = 1", "[[a]]\n[b]",
	"version = 5.7.0\n\n# Options used in the renewal process\n[renewalparams]\naccount = 34ab\n[[webroot_map]]\na.example = /w\n\n[acme_renewal_info]\nari_retry_after = 2026-11-24T00:01:02\n",
}

func TestDocumentAgreesWithConfigObj(t *testing.T) {
	input, err := json.Marshal(hard)
	if err != nil {
		t.Fatal(err)
	}
	var want []*tree
	if err := json.Unmarshal(python(t, readAll, input), &want); err != nil {
		t.Fatal(err)
	}
	for i, text := range hard {
		d, err := lineage.ParseDocument([]byte(text))
		switch {
		case err != nil && want[i] == nil:
		case err != nil:
			t.Errorf("%q: %v, where ConfigObj reads %v", text, err, want[i])
		case want[i] == nil:
			t.Errorf("%q: read, where ConfigObj refuses", text)
		default:
			if got := treeOf(d.Root()); !reflect.DeepEqual(got, want[i]) {
				t.Errorf("%q: got %v %v, want %v %v", text, got.Values, got.Sections, want[i].Values, want[i].Sections)
			}
		}
	}
}

func TestDocumentPrintsWhatItRead(t *testing.T) {
	for _, text := range hard {
		d, err := lineage.ParseDocument([]byte(text))
		if err == nil && string(d.Bytes()) != text {
			t.Errorf("%q is printed as %q", text, d.Bytes())
		}
	}
}

// values are strings and lists that are hard to write.
var values = []lineage.Value{
	lineage.String(""), lineage.String("x"), lineage.String("a b"), lineage.String(" a"), lineage.String("a\t"), lineage.String("a, b"), lineage.String("a,"),
	lineage.String("a # b"), lineage.String("#a"), lineage.String(`it's`), lineage.String(`"x"`), lineage.String(`say "x"`), lineage.String(`'x'`),
	lineage.String(`echo "it's"`), lineage.String(`'a", "b'`), lineage.String("two\nlines"), lineage.String("\n"), lineage.String(`"""x'`), lineage.String("a=b"),
	lineage.String("[s]"), lineage.String("%(x)s"), lineage.String("None"), lineage.String("\u00a0x"), lineage.String(`x\`), lineage.String(`say "it's", # 1`),
	lineage.List(), lineage.List(""), lineage.List("x"), lineage.List("x", "y"), lineage.List("a, b"), lineage.List("a, b", `"c"`, "it's"), lineage.List("", ""),
	lineage.List("/var/www/a b", " c "), lineage.List("#", ","),
}

func TestDocumentWritesWhatConfigObjReads(t *testing.T) {
	var texts []string
	for _, value := range values {
		d, err := lineage.ParseDocument([]byte("# top\nk = old # why\n[s]\n"))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Root().Set("k", value); err != nil {
			t.Fatalf("%q: %v", value.Items(), err)
		}
		if err := d.Root().Section("s").Set("k", value); err != nil {
			t.Fatalf("%q: %v", value.Items(), err)
		}
		if text := string(d.Bytes()); !strings.HasPrefix(text, "# top\nk = ") || !strings.Contains(text, " # why\n[s]\nk = ") {
			t.Errorf("%q: comments are lost: %q", value.Items(), text)
		}
		texts = append(texts, string(d.Bytes()))
	}
	input, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	var got []*tree
	if err := json.Unmarshal(python(t, readAll, input), &got); err != nil {
		t.Fatal(err)
	}
	for i, value := range values {
		d, _ := lineage.ParseDocument([]byte("x = 1\n"))
		if err := d.Root().Set("k", value); err != nil {
			t.Fatal(err)
		}
		want := treeOf(d.Root()).Values["k"]
		if got[i] == nil || !reflect.DeepEqual(got[i].Values["k"], want) || !reflect.DeepEqual(got[i].Sections["s"].Values["k"], want) {
			t.Errorf("%q was written as %q, which ConfigObj reads as %v", value.Items(), texts[i], got[i])
		}
	}
}

func TestDocumentRefusesWhatCannotBeWritten(t *testing.T) {
	for _, value := range []lineage.Value{lineage.String(`""" '''`), lineage.List(`it's "x"`), lineage.List("two\nlines"), lineage.String("a\r\nb")} {
		d, _ := lineage.ParseDocument([]byte("a = 1\n"))
		if err := d.Root().Set("k", value); err == nil {
			t.Errorf("%q: written as %q", value.Items(), d.Bytes())
		} else if string(d.Bytes()) != "a = 1\n" {
			t.Errorf("%q: refused, but left %q", value.Items(), d.Bytes())
		}
	}
}

func TestDocumentEdits(t *testing.T) {
	const before = "# head\na = 1\n\n# about s\n[s]\n  b = 2  # two\n  # about t\n  [[t]]\n    c = 3\n# tail"
	d, err := lineage.ParseDocument([]byte(before))
	if err != nil {
		t.Fatal(err)
	}
	root := d.Root()
	s := root.Section("s")
	added, err := s.Add("u")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		root.Set("z", lineage.String("26")), root.Set("a", lineage.String("1")), s.Set("b", lineage.List("x")),
		s.Set("d", lineage.String("x y")), added.Set("e", lineage.String("5")), s.Section("t").Set("f", lineage.String("6")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const after = "# head\na = 1\nz = 26\n\n# about s\n[s]\n  b = x,  # two\n  d = x y\n  # about t\n  [[t]]\n    c = 3\n    f = 6\n# tail\n[[u]]\ne = 5\n"
	if got := string(d.Bytes()); got != after {
		t.Errorf("got\n%s\nwant\n%s", got, after)
	}
	s.Remove("u")
	s.Delete("d")
	s.Delete("no such key")
	if got := string(d.Bytes()); strings.Contains(got, "[[u]]") || strings.Contains(got, "x y") {
		t.Errorf("still there:\n%s", got)
	}
	if err := root.Set("s", lineage.String("x")); err == nil {
		t.Error("a key took the name of a section")
	}
	if _, err := root.Add("a"); err == nil {
		t.Error("a section took the name of a key")
	}
}

func TestDocumentInterpolates(t *testing.T) {
	d, err := lineage.ParseDocument([]byte("base = /srv\nloop = %(loop)s\n[DEFAULT]\nport = 80\n[s]\na = %(base)s/x:%(port)s\nb = %(none)s\nc = %(loop)s\nd = 5%(\n[[t]]\ne = %(a)s!, %(base)s\n"))
	if err != nil {
		t.Fatal(err)
	}
	s := d.Root().Section("s")
	for key, want := range map[string]string{"a": "/srv/x:80", "b": "%(none)s", "c": "%(loop)s", "d": "5%("} {
		if got, _ := s.Get(key); got.String() != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if got, _ := s.Section("t").Get("e"); !reflect.DeepEqual(got.Items(), []string{"/srv/x:80!", "/srv"}) {
		t.Errorf("e = %q", got.Items())
	}
}

// Files that a careless reader would take years for, or all memory.
func TestDocumentIsBounded(t *testing.T) {
	const many = 1 << 16
	for name, text := range map[string]string{
		"quotes":       "k = a, " + strings.Repeat(`"`, many),
		"short quotes": "k = " + strings.Repeat(`",`, 8000) + "'",
		"both quotes":  "k = " + strings.Repeat(`"',' ,`, 2600) + "'",
		"commas":       "k = " + strings.Repeat(`a,`, 8000) + ",",
		"brackets":     strings.Repeat("[", many) + strings.Repeat("]", many) + "x",
		"few brackets": strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "x",
		"equals":       `"` + strings.Repeat("=", many),
		"large":        strings.Repeat("#", 1<<20+1),
	} {
		if _, err := lineage.ParseDocument([]byte(text)); err == nil {
			t.Errorf("%s: read", name)
		}
	}
	var laughs strings.Builder
	for i := range 9 {
		laughs.WriteString("k" + strconv.Itoa(i) + " = " + strings.Repeat("%(k"+strconv.Itoa(i+1)+")s", 1000) + "\n")
	}
	d, err := lineage.ParseDocument([]byte(laughs.String() + "k9 = ''\n"))
	if err != nil {
		t.Fatal(err)
	}
	if value, _ := d.Root().Get("k0"); !strings.HasPrefix(value.String(), "%(k1)s") {
		t.Errorf("k0 = %.100q", value)
	}
}

func FuzzDocument(f *testing.F) {
	for _, text := range hard {
		f.Add([]byte(text), "key", "value")
	}
	f.Fuzz(func(t *testing.T, text []byte, key, value string) {
		d, err := lineage.ParseDocument(text)
		if err != nil {
			return
		}
		if !bytes.Equal(d.Bytes(), text) {
			t.Fatalf("%q is printed as %q", text, d.Bytes())
		}
		before := treeOf(d.Root())
		if d.Root().Set(key, lineage.String(value)) != nil {
			if !bytes.Equal(bytes.TrimRight(d.Bytes(), "\r\n"), bytes.TrimRight(text, "\r\n")) {
				t.Fatalf("a refused edit changed %q to %q", text, d.Bytes())
			}
			return
		}
		again, err := lineage.ParseDocument(d.Bytes())
		if err != nil {
			t.Fatalf("%q, printed as %q: %v", text, d.Bytes(), err)
		}
		after := treeOf(again.Root())
		if after.Values[key] != value {
			t.Fatalf("%q = %q was written as %q", key, value, d.Bytes())
		}
		before.Values[key] = value
		if !reflect.DeepEqual(before.Values, after.Values) || !reflect.DeepEqual(before.Sections, after.Sections) {
			t.Fatalf("setting %q changed more than that: %q", key, d.Bytes())
		}
	})
}
