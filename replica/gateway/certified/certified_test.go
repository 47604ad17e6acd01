package certified_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"ashlar/replica/crypto/bls"
	"ashlar/replica/gateway/certified"
	"ashlar/replica/gateway/certified/certifiedtest"
	"ashlar/replica/ic"
)

const now = ic.Time(1_800_000_000_000_000_000)

var canister = ic.CanisterIDFromUint64(7)

func verifyBLS(der, message, sig []byte) error {
	k, err := bls.ParseDER(der)
	if err != nil {
		return err
	}
	return k.Verify(message, sig)
}

func trust(root *bls.SecretKey) certified.Trust {
	return certified.Trust{RootKey: root.PublicKey().DER(), BLS: verifyBLS, Now: now}
}

func get(url string) *certified.Request {
	return &certified.Request{Method: "GET", URL: url, Headers: []certified.Header{{Name: "accept", Value: "text/html"}}}
}

func page(body string) certified.Response {
	return certified.Response{Status: 200, Body: []byte(body), Headers: []certified.Header{{Name: "content-type", Value: "text/html"}, {Name: "x-other", Value: "1"}}}
}

// site has the assets of the public scenarios: an index for everything, another
// answer for what is not there below js, a redirect.
type site struct {
	*certifiedtest.Site
	index, js, missing, redirect certified.Response
}

var (
	everything = certifiedtest.Path("<*>")
	belowJS    = certifiedtest.Path("js/<*>")
	theScript  = certifiedtest.Path("js/index.js/<$>")
	oldPath    = certifiedtest.Path("old-path/<$>")
)

func newSite() *site {
	s := &site{Site: certifiedtest.New(canister, now)}
	s.index = s.Put(everything, certifiedtest.Reply, certified.Request{}, page("index"))
	s.missing = s.Put(belowJS, certifiedtest.Reply, certified.Request{}, certified.Response{Status: 404, Body: []byte("no such script")})
	s.js = s.Put(theScript, certifiedtest.Reply, certified.Request{}, page("script"))
	s.redirect = s.Put(oldPath, certifiedtest.Reply, certified.Request{},
		certified.Response{Status: 301, Headers: []certified.Header{{Name: "Location", Value: "/new"}}})
	return s
}

func verify(s *certifiedtest.Site, req *certified.Request, resp certified.Response) error {
	_, err := certified.Verify(s.Canister, req, &resp, trust(s.Key))
	return err
}

func segments(url string) []string { return strings.Split(strings.TrimPrefix(url, "/"), "/") }

// Each URL is served by its most specific path, and by no other.
func TestMostSpecificPath(t *testing.T) {
	s := newSite()
	answers := map[string]struct {
		path []string
		resp certified.Response
	}{"index": {everything, s.index}, "missing": {belowJS, s.missing}, "script": {theScript, s.js}, "redirect": {oldPath, s.redirect}}
	for url, want := range map[string]string{
		"/": "index", "/not-found": "index", "/not-found/": "index", "/not/found": "index", "/not/found/": "index", "/?a=b": "index",
		"/js/index.js": "script", "/j%73/index.js": "script", "/js/index.js?v=1": "script", "//js//index.js": "script",
		"/js": "missing", "/js/": "missing", "/js/not-found": "missing", "/js/not-found/": "missing", "/js/not/found": "missing", "/js/index.js/": "missing",
		"/old-path": "redirect", "/old-path/": "index", "/old-path/x": "index", "/100%": "index",
	} {
		plain, _, _ := strings.Cut(strings.ReplaceAll(strings.ReplaceAll(url, "%73", "s"), "//", "/"), "?")
		for name, a := range answers {
			err := verify(s.Site, get(url), s.Sign(segments(plain), a.path, a.resp))
			if (err == nil) != (name == want) {
				t.Errorf("%s answered by %s: %v", url, name, err)
			}
		}
	}
}

func TestDirectoryWildcards(t *testing.T) {
	s := certifiedtest.New(canister, now)
	put := func(path string) ([]string, certified.Response) {
		p := certifiedtest.Path(path)
		return p, s.Put(p, certifiedtest.Reply, certified.Request{}, page(path))
	}
	files, file := put("a/<*>")
	dirs, dir := put("a//<*>")
	inner, in := put("a/b//<*>")
	for _, c := range []struct {
		url  string
		path []string
		resp certified.Response
		ok   bool
	}{
		{"/a", files, file, true}, {"/a", dirs, dir, false}, // the file before the directory
		{"/a/", dirs, dir, true}, {"/a/", files, file, false},
		{"/a/c", dirs, dir, true}, {"/a/c", files, file, false},
		{"/a/b/", inner, in, true}, {"/a/b/", dirs, dir, false},
		{"/a/b", inner, in, true}, {"/a/b", dirs, dir, true}, // both cover the file
		{"/x", dirs, dir, false}, {"/x", files, file, false},
	} {
		if err := verify(s, get(c.url), s.Sign(segments(c.url), c.path, c.resp)); (err == nil) != c.ok {
			t.Errorf("%s by %v: %v", c.url, c.path, err)
		}
	}
}

// What may be passed on: the certified headers, or all where nothing is certified.
func TestHeadersThatAreKept(t *testing.T) {
	s := newSite()
	s.Put(certifiedtest.Path("free/<$>"), certifiedtest.None, certified.Request{}, page(""))
	signed := s.Sign([]string{""}, everything, s.index)
	r, err := certified.Verify(canister, get("/"), &signed, trust(s.Key))
	if err != nil || r.Version != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	var names []string
	for _, h := range r.Headers {
		names = append(names, h.Name)
	}
	if got := strings.Join(names, " "); got != "IC-CertificateExpression content-type IC-Certificate" {
		t.Errorf("kept: %s", got)
	}
	free := page("whatever the node likes")
	free.Headers = append(free.Headers, certified.Header{Name: "ic-certificateexpression", Value: certifiedtest.None})
	free = s.Sign([]string{"free"}, certifiedtest.Path("free/<$>"), free)
	if r, err := certified.Verify(canister, get("/free"), &free, trust(s.Key)); err != nil || len(r.Headers) != len(free.Headers) {
		t.Errorf("no certification: %+v, %v", r, err)
	}
	// The same expression where the canister did not put it:
	index := page("not the index")
	index.Headers = append(index.Headers, certified.Header{Name: "IC-CertificateExpression", Value: certifiedtest.None})
	if err := verify(s.Site, get("/"), s.Sign([]string{""}, everything, index)); err == nil {
		t.Error("an expression that the canister did not certify was followed")
	}
}

func TestFullCertification(t *testing.T) {
	s := certifiedtest.New(canister, now)
	path := certifiedtest.Path("search/<$>")
	req := get("/search?q=1")
	resp := s.Sign([]string{"search"}, path, s.Put(path, certifiedtest.Full, *req, page("one")))
	post := *req
	post.Method = "POST"
	body := *req
	body.Body = []byte("x")
	accept := *get("/search?q=1")
	accept.Headers = []certified.Header{{Name: "accept", Value: "image/png"}}
	twice := *get("/search?q=1")
	twice.Headers = append(twice.Headers, twice.Headers[0])
	extra := *get("/search?x=2&q=1")
	extra.Headers = append(extra.Headers, certified.Header{Name: "cookie", Value: "a=b"})
	for name, c := range map[string]struct {
		req certified.Request
		ok  bool
	}{
		"the same": {*req, true}, "what is not certified differs": {extra, true}, "method": {post, false}, "body": {body, false}, "header": {accept, false},
		"header twice": {twice, false}, "parameter": {*get("/search?q=2"), false}, "no parameter": {*get("/search"), false}, "two": {*get("/search?q=1&q=2"), false},
	} {
		if err := verify(s, &c.req, resp); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The marks that end a path stand nowhere else in it, whatever the URL is.
func TestMarksInsideAPath(t *testing.T) {
	s := certifiedtest.New(canister, now)
	for _, mark := range []string{"<$>", "<*>"} {
		inside, beside := certifiedtest.Path(mark+"/<$>"), certifiedtest.Path("x"+mark+"/<$>")
		no := s.Put(inside, certifiedtest.Reply, certified.Request{}, page("no"))
		yes := s.Put(beside, certifiedtest.Reply, certified.Request{}, page("yes"))
		if err := verify(s, get("/"+url.PathEscape(mark)), s.Sign([]string{mark}, inside, no)); err == nil || !strings.Contains(err.Error(), "before its end") {
			t.Errorf("a path with %s inside: %v", mark, err)
		}
		if err := verify(s, get("/x"+url.PathEscape(mark)), s.Sign([]string{"x" + mark}, beside, yes)); err != nil {
			t.Errorf("x%s: %v", mark, err)
		}
	}
}

// One thing wrong at a time; the error names it.
func TestRefused(t *testing.T) {
	good := func() (*site, certified.Response) {
		s := newSite()
		return s, s.Sign([]string{""}, everything, s.index)
	}
	edit := func(resp certified.Response, name, old, new string) certified.Response {
		for i, h := range resp.Headers {
			if strings.EqualFold(h.Name, name) {
				resp.Headers[i].Value = strings.Replace(h.Value, old, new, 1)
			}
		}
		return resp
	}
	without := func(resp certified.Response, name string) certified.Response {
		var kept []certified.Header
		for _, h := range resp.Headers {
			if !strings.EqualFold(h.Name, name) {
				kept = append(kept, h)
			}
		}
		resp.Headers = kept
		return resp
	}
	for want, change := range map[string]func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response){
		"": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) { return s.Site, r },
		"not certified at": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			r.Body = []byte("indeX")
			return s.Site, r
		},
		"are absent in the tree": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			return s.Site, edit(r, "content-type", "html", "plain")
		},
		"this request and response are not certified": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			r.Status = 201
			return s.Site, r
		},
		"no header IC-Certificate:": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			return s.Site, without(r, "IC-Certificate")
		},
		"no header IC-CertificateExpression": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			return s.Site, without(r, "IC-CertificateExpression")
		},
		"2 headers IC-Certificate": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			r.Headers = append(r.Headers, r.Headers[len(r.Headers)-1])
			return s.Site, r
		},
		"5m1s old": func(s *site, _ certified.Response) (*certifiedtest.Site, certified.Response) {
			s.Now = now - ic.Time(certified.MaxAge) - ic.Time(time.Second)
			return s.Site, s.Sign([]string{""}, everything, s.index)
		},
		"-5m1s old": func(s *site, _ certified.Response) (*certifiedtest.Site, certified.Response) {
			s.Now = now + ic.Time(certified.MaxAge) + ic.Time(time.Second)
			return s.Site, s.Sign([]string{""}, everything, s.index)
		},
		"does not tell the certified data": func(s *site, _ certified.Response) (*certifiedtest.Site, certified.Response) {
			other := *s.Site
			other.Canister = ic.CanisterIDFromUint64(8)
			return s.Site, other.Sign([]string{""}, everything, s.index)
		},
		"is not the one that the canister certified": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			before := r.Headers[len(r.Headers)-1].Value
			s.Put(certifiedtest.Path("later/<$>"), certifiedtest.Reply, certified.Request{}, page("later"))
			after := s.Sign([]string{""}, everything, s.index)
			_, tree, _ := strings.Cut(before, "tree=")
			head, _, _ := strings.Cut(after.Headers[len(after.Headers)-1].Value, "tree=")
			after.Headers[len(after.Headers)-1].Value = head + "tree=" + tree
			return s.Site, after
		},
		"signature of the certificate": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			other := *s.Site
			other.Key = newSite().Key
			return s.Site, other.Sign([]string{""}, everything, s.index)
		},
		"version \"3\"": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			return s.Site, edit(r, "IC-Certificate", "version=2", "version=3")
		},
		"there twice": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			return s.Site, edit(r, "IC-Certificate", "version=2", "version=2, version=2")
		},
		"not base64": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			return s.Site, edit(r, "IC-Certificate", "tree=:", "tree=:!")
		},
		"no field tree": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			return s.Site, edit(r, "IC-Certificate", "tree=", "trees=")
		},
		"no field expr_path": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			return s.Site, edit(r, "IC-Certificate", "expr_path=", "path=")
		},
		"the hash of the asset": func(s *site, r certified.Response) (*certifiedtest.Site, certified.Response) {
			return s.Site, edit(r, "IC-Certificate", "version=2", "version=1")
		},
		"begin with http_expr": func(s *site, _ certified.Response) (*certifiedtest.Site, certified.Response) {
			return s.Site, s.Sign([]string{""}, []string{"<*>"}, s.index)
		},
		"ends neither": func(s *site, _ certified.Response) (*certifiedtest.Site, certified.Response) {
			return s.Site, s.Sign([]string{""}, certifiedtest.Path("js"), s.index)
		},
	} {
		s, r := change(good())
		err := verify(s, get("/"), r)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// A witness that hides whether a better answer exists proves nothing.
func TestShadowing(t *testing.T) {
	s := newSite()
	index := s.Sign([]string{""}, everything, s.index)
	for _, url := range []string{"/k", "/js/index.js", "/old-path"} {
		if err := verify(s.Site, get(url), index); err == nil || !strings.Contains(err.Error(), "proof of absence is missing") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestDelegation(t *testing.T) {
	s := newSite()
	root, _ := bls.GenerateKey(nil)
	sign := func(first, last uint64) certified.Response {
		s.Delegate(root, ic.CanisterIDFromUint64(first), ic.CanisterIDFromUint64(last))
		return s.Sign([]string{""}, everything, s.index)
	}
	mine, others := sign(0, 9), sign(10, 19)
	if _, err := certified.Verify(canister, get("/"), &mine, trust(root)); err != nil {
		t.Error(err)
	}
	if _, err := certified.Verify(canister, get("/"), &others, trust(root)); err == nil || !strings.Contains(err.Error(), "does not host") {
		t.Errorf("a subnet that does not host the canister: %v", err)
	}
	if _, err := certified.Verify(canister, get("/"), &mine, trust(newSite().Key)); err == nil {
		t.Error("another root key was accepted")
	}
}

func TestVersion1(t *testing.T) {
	pack := func(w io.WriteCloser, into *bytes.Buffer) []byte {
		_, _ = w.Write([]byte("script"))
		w.Close()
		return into.Bytes()
	}
	var z, d bytes.Buffer
	gz := pack(gzip.NewWriter(&z), &z)
	fw, _ := flate.NewWriter(&d, 9)
	deflated := pack(fw, &d)
	s := certifiedtest.New(canister, now)
	s.PutLegacy("/index.html", []byte("index"))
	s.PutLegacy("/a b.js", []byte("script"))
	s.PutLegacy("/raw.gz", gz)
	encoded := func(encoding string, body []byte) certified.Response {
		return certified.Response{Status: 200, Body: body, Headers: []certified.Header{{Name: "Content-Encoding", Value: encoding}, {Name: "cache-control", Value: "max-age=1"}}}
	}
	for _, c := range []struct {
		name, url, at string
		resp          certified.Response
		ok            bool
	}{
		{"asset", "/a%20b.js?x=y", "/a b.js", page("script"), true},
		{"gzip", "/a%20b.js", "/a b.js", encoded("gzip", gz), true},
		{"deflate", "/a%20b.js", "/a b.js", encoded("deflate", deflated), true},
		{"certified as packed", "/raw.gz", "/raw.gz", encoded("gzip", gz), true},
		{"neither packed nor not", "/raw.gz", "/raw.gz", encoded("gzip", []byte("script")), false},
		{"index for what is not there", "/app/route", "/app/route", page("index"), true},
		{"index for what is there", "/a%20b.js", "/a b.js", page("index"), false},
		{"index without proof", "/raw.gz", "/index.html", page("index"), false},
		{"other body", "/a%20b.js", "/a b.js", page("scripT"), false},
		{"redirect", "/a%20b.js", "/a b.js", certified.Response{Status: 302, Body: []byte("script")}, false},
	} {
		signed := s.SignLegacy(c.at, c.resp)
		r, err := certified.Verify(canister, get(c.url), &signed, trust(s.Key))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if err != nil {
			continue
		}
		if r.Version != 1 {
			t.Errorf("%s: version %d", c.name, r.Version)
		}
		for _, h := range r.Headers {
			if strings.EqualFold(h.Name, "cache-control") {
				t.Errorf("%s: a header that decides how long a body is kept is not certified", c.name)
			}
		}
	}
}

func TestABombIsNotUnpacked(t *testing.T) {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	zeros := make([]byte, 1<<20)
	for range 65 {
		_, _ = w.Write(zeros)
	}
	w.Close()
	s := certifiedtest.New(canister, now)
	s.PutLegacy("/bomb", nil)
	resp := s.SignLegacy("/bomb", certified.Response{Status: 200, Body: z.Bytes(), Headers: []certified.Header{{Name: "content-encoding", Value: "gzip"}}})
	if err := verify(s, get("/bomb"), resp); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Error(err)
	}
}

func FuzzVerify(f *testing.F) {
	s := newSite()
	signed := s.Sign([]string{""}, everything, s.index)
	f.Add("/", certifiedtest.Reply, signed.Headers[len(signed.Headers)-1].Value, []byte("index"))
	s.PutLegacy("/", []byte("index"))
	f.Add("/", "", s.SignLegacy("/", page("index")).Headers[2].Value, []byte("index"))
	f.Add("/%zz/%", `default_certification(ValidationArgs{certification:`, "certificate=::,tree=:", []byte{})
	always := func(_, _, _ []byte) error { return nil }
	f.Fuzz(func(t *testing.T, url, expression, certificate string, body []byte) {
		resp := &certified.Response{Status: 200, Body: body, Headers: []certified.Header{{Name: "content-type", Value: "text/html"},
			{Name: "IC-CertificateExpression", Value: expression}, {Name: "IC-Certificate", Value: certificate}}}
		r, err := certified.Verify(canister, get(url), resp, certified.Trust{RootKey: s.Key.PublicKey().DER(), BLS: always, Now: now})
		if (r == nil) == (err == nil) {
			t.Fatalf("%v, %v", r, err)
		}
	})
}
