package certified

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// The hashes of dfinity/response-verification's own tests.
func TestRequestHashVectors(t *testing.T) {
	headers := []Header{{"Accept-Language", "en"}, {"Accept-Language", "en-US"}, {"Host", "https://ic0.app"}}
	const plain, searched = "10796453466efb3e333891136b8a5931269f77e40ead9d437fcee94a02fa833c", "3ade1c9054f05bc8bcebd3fd7b884078a6e67c63e5ac4a639fa46a47f5a955c9"
	for _, c := range []struct {
		url, want  string
		parameters []string
	}{
		{"/", plain, nil}, {"/?q=search", plain, nil},
		{"/?q=hello+world&name=foo&name=bar&color=purple", searched, []string{"q", "name"}},
		{"/?q=hello+world&name=foo&name=bar&color=purple#index.html", searched, []string{"q", "name"}},
	} {
		rule := &requestRule{[]string{"host"}, c.parameters}
		got := rule.hash(&Request{Method: "POST", URL: c.url, Headers: headers, Body: []byte{0, 1, 2, 3, 4, 5, 6}})
		if hex.EncodeToString(got[:]) != c.want {
			t.Errorf("%s: %x, want %s", c.url, got, c.want)
		}
	}
	rule := &requestRule{[]string{"host"}, []string{"q", "name"}}
	if d := rule.hash(&Request{Method: "POST", URL: "/?q=hello+world&name=bar&name=foo", Headers: headers}); hex.EncodeToString(d[:]) == searched {
		t.Error("the order of parameters does not matter")
	}
}

func expressionOf(field, list string) string {
	return "default_certification(ValidationArgs{certification:Certification{no_request_certification:Empty{},response_certification:ResponseCertification{" +
		field + ":ResponseHeaderList{headers:[" + list + "]}}}})"
}

func TestResponseHashVectors(t *testing.T) {
	for _, c := range []struct {
		written        string // the expression in the header
		rule           expression
		response, head string
	}{
		{expressionOf("certified_response_headers", `"Accept-Encoding","Cache-Control"`), expression{headers: []string{"Accept-Encoding", "Cache-Control"}},
			"3393250e3cedc30408dcb7e8963898c3d7549b8a0b76496b82fdfeae99c2ac78", ""},
		{expressionOf("response_header_exclusions", `"Content-Security-Policy"`), expression{headers: []string{"Accept-Encoding", "Cache-Control"}, exclude: true},
			"a2ffb50ef8971650c2fb46c0a2788b7d5ac5a027d635175e8e06b419ce6c4cda", ""},
	} {
		kept := c.rule.certified([]Header{{"IC-Certificate", "certificate=:SGVsbG8gQ2VydGlmaWNhdGUh:,tree=:SGVsbG8gVHJlZSE=:"}, {expressionName, c.written},
			{"Accept-Encoding", "gzip"}, {"Cache-Control", "no-cache"}, {"Cache-Control", "no-store"}, {"Content-Security-Policy", "default-src 'self'"}})
		if got := responseHash(200, kept, []byte("Hello World!")); hex.EncodeToString(got[:]) != c.response {
			t.Errorf("%s: %x, want %s", c.written, got, c.response)
		}
	}
}

func TestExpression(t *testing.T) {
	e, err := parseExpression(`
		default_certification (
		  ValidationArgs {
		    certification: Certification {
		      request_certification: RequestCertification { certified_query_parameters: ["q", "page"], certified_request_headers: [ "host" ] },
		      response_certification: ResponseCertification { response_header_exclusions: ResponseHeaderList { headers: ["Server"] } }
		    }
		  }
		)`)
	if err != nil || e.none || !e.exclude || !slices.Equal(e.headers, []string{"Server"}) || !slices.Equal(e.request.headers, []string{"host"}) || !slices.Equal(e.request.parameters, []string{"q", "page"}) {
		t.Errorf("%+v, %v", e, err)
	}
	if e, err := parseExpression("default_certification(ValidationArgs{no_certification:Empty{}})"); err != nil || !e.none {
		t.Errorf("%+v, %v", e, err)
	}
	full := "default_certification(ValidationArgs{certification:Certification{no_request_certification:Empty{},response_certification:ResponseCertification{certified_response_headers:ResponseHeaderList{headers:[]}}}})"
	if _, err := parseExpression(full); err != nil {
		t.Error(err)
	}
	for i := range full { // no prefix is an expression
		if e, err := parseExpression(full[:i]); err == nil {
			t.Fatalf("%q: %+v", full[:i], e)
		}
	}
	for name, text := range map[string]string{
		"more follows":          full + ")",
		"other function":        strings.Replace(full, "default", "custom", 1),
		"unknown field":         strings.Replace(full, "headers:", "heads:", 1),
		"two fields":            strings.Replace(full, "no_request_certification:Empty{}", "no_request_certification:Empty{},no_request_certification:Empty{}", 1),
		"both requests":         strings.Replace(full, "no_request_certification:Empty{}", "no_request_certification:Empty{},request_certification:RequestCertification{certified_request_headers:[],certified_query_parameters:[]}", 1),
		"no request":            strings.Replace(full, "no_request_certification:Empty{},", "", 1),
		"half a request":        strings.Replace(full, "no_request_certification:Empty{}", "request_certification:RequestCertification{certified_request_headers:[]}", 1),
		"both responses":        strings.Replace(full, "ResponseCertification{", "ResponseCertification{response_header_exclusions:ResponseHeaderList{headers:[]},", 1),
		"no and some":           strings.Replace(full, "ValidationArgs{", "ValidationArgs{no_certification:Empty{},", 1),
		"empty that is not":     strings.Replace(full, "Empty{}", "Empty{a:[]}", 1),
		"list for object":       strings.Replace(full, "Empty{}", "[]", 1),
		"object for list":       strings.Replace(full, "[]", "Empty{}", 1),
		"trailing comma":        strings.Replace(full, "[]", `["a",]`, 1),
		"no comma":              strings.Replace(full, "[]", `["a" "b"]`, 1),
		"backslash":             strings.Replace(full, "[]", `["a\"b"]`, 1),
		"nothing certified":     "default_certification(ValidationArgs{})",
		"deep":                  "default_certification(" + strings.Repeat("A{a:", 100),
		"too long":              full + strings.Repeat(" ", expressionBytes),
		"no response":           "default_certification(ValidationArgs{certification:Certification{no_request_certification:Empty{}}})",
		"no headers":            strings.Replace(full, "headers:[]", "", 1),
		"empty response":        strings.Replace(full, "certified_response_headers:ResponseHeaderList{headers:[]}", "", 1),
		"number for a list":     strings.Replace(full, "[]", "1", 1),
		"strings without quote": strings.Replace(full, "[]", "[a]", 1),
	} {
		if e, err := parseExpression(text); err == nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// The places of wildcards in dfinity/response-verification's tests, for /a/b/c.
func TestWildcards(t *testing.T) {
	join := func(ws [][]string) (out []string) {
		for _, w := range ws {
			out = append(out, strings.Join(w, "/"))
		}
		return out
	}
	for _, c := range []struct {
		segments, at string
		want         []string
	}{
		{"a,b,c", "", []string{"a/b/c", "a/b/", "a/b", "a/", "a", "", ""}},
		{"a,b,c", "a,b,c,", []string{"a/b/c", "a/b/c/", "a/b/", "a/b", "a/", "a", "", ""}},
		{"a,b,", "", []string{"a/b/", "a/b", "a/", "a", "", ""}},
		{"", "", []string{"", ""}},
	} {
		if got := join(wildcards(strings.Split(c.segments, ","), strings.Split(c.at, ","))); !slices.Equal(got, c.want) {
			t.Errorf("%s at %s: %q, want %q", c.segments, c.at, got, c.want)
		}
	}
}
