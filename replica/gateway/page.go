package gateway

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

//go:embed page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

// fault is a failure as the browser's user is told of it.
type fault struct {
	status int
	cause  string // for programs, in X-Ic-Error-Cause: ic-gateway's words where it has one
	title  string
	what   string   // one sentence or two
	todo   []string // what helps
	detail string   // the error itself
	raw    bool     // the raw address shows the answer all the same
	retry  bool     // it may succeed soon
}

// view is what the page shows.
type view struct {
	*fault
	Title, What, Detail, Canister, Raw string
	Todo                               []string
	Status                             int
}

// fail answers with the fault: a page for people, a text for programs.
func (g *Gateway) fail(w http.ResponseWriter, r *http.Request, to target, f *fault) {
	v := view{fault: f, Title: f.title, What: f.what, Detail: f.detail, Todo: f.todo, Status: f.status}
	if !to.none() {
		v.Canister = to.canister.String()
		w.Header().Set("X-Ic-Canister-Id", v.Canister)
		if f.raw && !to.raw {
			v.Raw = g.address(r, to, true)
		}
	}
	w.Header().Set("X-Ic-Error-Cause", f.cause)
	if f.retry {
		w.Header().Set("Retry-After", retryAfter)
	}
	share(w.Header(), r)
	v.write(w, r)
}

const retryAfter = "1" // seconds: a round takes less

func (v *view) write(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	h := w.Header()
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.Set("Content-Type", "text/html; charset=utf-8")
		if err := page.Execute(&body, v); err != nil {
			panic("gateway: its own page: " + err.Error())
		}
	} else {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		v.text(&body)
	}
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	w.WriteHeader(v.Status)
	_, _ = w.Write(body.Bytes()) // the browser may be gone
}

func (v *view) text(out *bytes.Buffer) {
	fmt.Fprintf(out, "%s\n%s\n", v.Title, v.What)
	for _, t := range v.Todo {
		fmt.Fprintf(out, "- %s\n", t)
	}
	if v.Raw != "" {
		fmt.Fprintf(out, "- see what it says, unverified: %s\n", v.Raw)
	}
	if v.Detail != "" {
		fmt.Fprintf(out, "%s\n", v.Detail)
	}
}

// welcome is the page of the gateway itself.
func (g *Gateway) welcome(w http.ResponseWriter, r *http.Request) {
	_, port, ok := strings.Cut(r.Host, ":")
	if ok {
		port = ":" + port
	}
	v := view{fault: &fault{}, Status: http.StatusOK, Title: "A network of the Internet Computer runs here",
		What: fmt.Sprintf("A canister that serves web pages is at http://<canister-id>.%s%s/", g.cfg.Domains[0], port),
		Todo: []string{"icp deploy prints the ids of a project's canisters; icp canister list, too.", "Agents use this same address: " + "http://" + r.Host}}
	share(w.Header(), r)
	v.write(w, r)
}
