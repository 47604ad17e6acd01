package certified

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// expression is IC-CertificateExpression, understood.
type expression struct {
	none    bool         // no_certification
	request *requestRule // nil: no_request_certification
	headers []string     // of the response
	exclude bool         // all but headers are certified
}

type requestRule struct{ headers, parameters []string }

const (
	expressionBytes = 8 << 10 // names of some hundred headers
	maxNesting      = 6       // the grammar has 5 levels
)

// parseExpression reads the one form of CEL that the specification has: the call
// default_certification(ValidationArgs{…}). Blanks may stand between the words.
func parseExpression(text string) (*expression, error) {
	e, err := parseCall(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expressionName, err)
	}
	return e, nil
}

func parseCall(text string) (*expression, error) {
	if len(text) > expressionBytes {
		return nil, fmt.Errorf("it has %d bytes, the limit is %d", len(text), expressionBytes)
	}
	s := &scanner{text}
	if s.word() != "default_certification" || !s.take('(') {
		return nil, errors.New("it is not a call of default_certification")
	}
	args, err := s.value(0)
	if err != nil {
		return nil, err
	}
	if !s.take(')') || s.next() != 0 {
		return nil, errors.New("something other than a closing parenthesis follows the argument")
	}
	return args.validation()
}

// validation reads ValidationArgs.
func (v *value) validation() (*expression, error) {
	f, err := v.object("ValidationArgs", "certification", "no_certification")
	if err != nil {
		return nil, err
	}
	if none := f["no_certification"]; none != nil {
		_, err := none.object("Empty")
		if err == nil && f["certification"] != nil {
			err = errors.New("ValidationArgs has certification and no_certification, which exclude each other")
		}
		return &expression{none: true}, err
	}
	if f["certification"] == nil {
		return nil, errors.New("ValidationArgs has neither certification nor no_certification")
	}
	f, err = f["certification"].object("Certification", "request_certification", "no_request_certification", "response_certification")
	if err != nil {
		return nil, err
	}
	e := new(expression)
	if err := e.readRequest(f["request_certification"], f["no_request_certification"]); err != nil {
		return nil, err
	}
	if f["response_certification"] == nil {
		return nil, errors.New("the Certification has no response_certification")
	}
	return e, e.readResponse(f["response_certification"])
}

func (e *expression) readRequest(yes, no *value) error {
	switch {
	case (yes == nil) == (no == nil):
		return errors.New("a Certification must have one of request_certification and no_request_certification")
	case no != nil:
		_, err := no.object("Empty")
		return err
	}
	f, err := yes.object("RequestCertification", "certified_request_headers", "certified_query_parameters")
	if err != nil {
		return err
	}
	e.request = new(requestRule)
	if e.request.headers, err = f["certified_request_headers"].list(); err != nil {
		return fmt.Errorf("certified_request_headers: %w", err)
	}
	if e.request.parameters, err = f["certified_query_parameters"].list(); err != nil {
		return fmt.Errorf("certified_query_parameters: %w", err)
	}
	return nil
}

func (e *expression) readResponse(v *value) error {
	f, err := v.object("ResponseCertification", "certified_response_headers", "response_header_exclusions")
	if err != nil {
		return err
	}
	list := f["certified_response_headers"]
	if out := f["response_header_exclusions"]; out != nil {
		if list != nil {
			return errors.New("ResponseCertification has certified_response_headers and response_header_exclusions, which exclude each other")
		}
		list, e.exclude = out, true
	}
	if list == nil {
		return errors.New("ResponseCertification has neither certified_response_headers nor response_header_exclusions")
	}
	if f, err = list.object("ResponseHeaderList", "headers"); err != nil {
		return err
	}
	e.headers, err = f["headers"].list()
	return err
}

// value is an object with its name and fields, or a list of strings.
type value struct {
	name    string
	fields  map[string]*value
	strings []string
}

// object checks the name, and that no field is there that we do not know: it
// might restrict what the others allow.
func (v *value) object(name string, known ...string) (map[string]*value, error) {
	if v.fields == nil || v.name != name {
		return nil, fmt.Errorf("%s{…} belongs where %q is", name, v.name)
	}
	for f := range v.fields {
		if !slices.Contains(known, f) {
			return nil, fmt.Errorf("%s has an unknown field %q", name, f)
		}
	}
	return v.fields, nil
}

func (v *value) list() ([]string, error) {
	if v == nil || v.fields != nil {
		return nil, errors.New("a list of strings is missing")
	}
	return v.strings, nil
}

// scanner takes words and marks off the front of a text.
type scanner struct{ rest string }

func (s *scanner) next() byte {
	s.rest = strings.TrimLeft(s.rest, " \t\r\n")
	if s.rest == "" {
		return 0
	}
	return s.rest[0]
}

func (s *scanner) take(c byte) bool {
	if s.next() != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

func (s *scanner) word() string {
	s.next()
	n := strings.IndexFunc(s.rest, func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
	if n < 0 {
		n = len(s.rest)
	}
	w := s.rest[:n]
	s.rest = s.rest[n:]
	return w
}

func (s *scanner) value(depth int) (*value, error) {
	if depth > maxNesting {
		return nil, errors.New("it nests too deep")
	}
	if s.take('[') {
		list, err := s.strings()
		return &value{strings: list}, err
	}
	v := &value{name: s.word(), fields: map[string]*value{}}
	if v.name == "" || !s.take('{') {
		return nil, fmt.Errorf("an object or a list belongs before %.20q", s.rest)
	}
	if s.take('}') {
		return v, nil
	}
	for {
		name := s.word()
		if !s.take(':') || v.fields[name] != nil {
			return nil, fmt.Errorf("field %q of %s: it has no value, or is there twice", name, v.name)
		}
		field, err := s.value(depth + 1)
		if err != nil {
			return nil, err
		}
		v.fields[name] = field
		if s.take('}') {
			return v, nil
		}
		if !s.take(',') {
			return nil, fmt.Errorf("a comma or a closing brace belongs before %.20q", s.rest)
		}
	}
}

func (s *scanner) strings() (list []string, err error) {
	if s.take(']') {
		return nil, nil
	}
	for {
		if !s.take('"') {
			return nil, fmt.Errorf("a string belongs before %.20q", s.rest)
		}
		text, rest, ok := strings.Cut(s.rest, `"`)
		if !ok || strings.ContainsAny(text, "\\\n\x00") {
			return nil, fmt.Errorf("the string %.20q does not end, or has a character that names of headers do not have", text)
		}
		list, s.rest = append(list, text), rest
		if s.take(']') {
			return list, nil
		}
		if !s.take(',') {
			return nil, fmt.Errorf("a comma or a closing bracket belongs before %.20q", s.rest)
		}
	}
}
