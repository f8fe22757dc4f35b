package psctest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"time"

	"promess/authgw/internal/pscstub"
)

// huge is how much a Fault of that name sends.
const huge = 64 << 20

// ServeHTTP is the front: it plays the quirks, and passes everything else on.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	form, _ := url.ParseQuery(string(body)) // what is no form has no values
	q, e := s.Quirks(), endpoint(r, form)
	s.enter(e)
	defer s.leave(e)
	f := q.Faults[e]
	if s.fault(w, r, f) {
		return
	}
	if e == Logout {
		s.restoreHint(r, form)
		body = []byte(form.Encode())
	}
	if q.AskAgain && r.URL.Path == pscstub.Path+pscstub.AuthorizePath {
		r.Header.Del("Cookie")
	}
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(body))), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	answer := httptest.NewRecorder()
	s.core.ServeHTTP(answer, r)
	if f.Lost {
		panic(http.ErrAbortHandler)
	}
	s.alter(answer, e, q, r, form)
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // fails when the client has gone
}

// endpoint says which part of the provider a request is for; "" is any other.
func endpoint(r *http.Request, form url.Values) Endpoint {
	if r.URL.Path == pscstub.WalletPath {
		return Wallet
	}
	path, _ := strings.CutPrefix(r.URL.Path, pscstub.Path)
	e := map[string]Endpoint{
		pscstub.DiscoveryPath: Discovery, pscstub.KeysPath: Keys, pscstub.TokenPath: Token, pscstub.UserinfoPath: Userinfo,
		pscstub.LogoutPath: Logout,
	}[path]
	if e == Token && form.Get("grant_type") == "refresh_token" {
		return Refresh
	}
	return e
}

func (s *Server) enter(e Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[e]++
	s.busy[e]++
	s.peak[e] = max(s.peak[e], s.busy[e])
}

func (s *Server) leave(e Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[e]--
}

// fault plays a fault, and reports whether that was the answer.
func (s *Server) fault(w http.ResponseWriter, r *http.Request, f Fault) bool {
	if f.Hold != nil {
		select {
		case <-f.Hold:
		case <-r.Context().Done():
		case <-s.done:
		}
	}
	switch {
	case f.Hang:
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		panic(http.ErrAbortHandler)
	case f.Cut:
		panic(http.ErrAbortHandler)
	case f.Huge:
		w.Header().Set("Content-Type", "application/json")
		sendHuge(w)
	case f.Slow:
		w.Header().Set("Content-Type", "application/json")
		s.sendSlowly(w, r)
	case f.Error != "":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.Status)
		_ = json.NewEncoder(w).Encode(map[string]string{"error": f.Error, "error_description": "played by psctest"})
	case f.Status != 0:
		w.Header().Set("Content-Type", "text/html")
		if f.To != "" {
			w.Header().Set("Location", f.To)
		}
		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, "<html><body><h1>"+http.StatusText(f.Status)+"</h1></body></html>")
	default:
		return false
	}
	return true
}

// sendSlowly sends a JSON string, a letter at a time, as long as somebody reads it.
func (s *Server) sendSlowly(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	_, err := io.WriteString(w, `{"sub":"`)
	for err == nil {
		if err = http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-s.done:
			return
		case <-tick.C:
			_, err = io.WriteString(w, "x")
		}
	}
}

// sendHuge sends one JSON string that goes on and on.
func sendHuge(w io.Writer) {
	part := strings.Repeat("x", 64<<10)
	_, err := io.WriteString(w, `{"sub":"`)
	for sent := 0; err == nil && sent < huge; sent += len(part) {
		_, err = io.WriteString(w, part)
	}
	if err == nil {
		_, _ = io.WriteString(w, `"}`)
	}
}

// alter changes an answer of the core.
func (s *Server) alter(answer *httptest.ResponseRecorder, e Endpoint, q Quirks, r *http.Request, form url.Values) {
	var err error
	switch {
	case e == Logout && answer.Code/100 == 3:
		err = s.alterLogout(answer, q)
	case answer.Code/100 == 3:
		err = s.alterCallback(answer, q)
	case answer.Code != http.StatusOK:
	case e == Discovery:
		err = s.alterDiscovery(answer, q)
	case e == Keys:
		err = setJSON(answer, pscstub.KeySet(s.publicKeys()...))
	case e == Token, e == Refresh:
		err = s.alterTokens(answer, q, e == Refresh)
	case e == Userinfo:
		err = s.alterUserinfo(answer, q, r)
	}
	if err != nil {
		answer.Code = http.StatusInternalServerError
		answer.Body.Reset()
		answer.Body.WriteString("psctest: " + err.Error())
	}
}

// location returns where an answer sends the browser, and whether that is away from the stand-in.
func (s *Server) location(answer *httptest.ResponseRecorder) (to *url.URL, away bool, err error) {
	to, err = url.Parse(answer.Header().Get("Location"))
	if err != nil {
		return nil, false, err
	}
	if to.Host == "" {
		return to, false, nil
	}
	for _, own := range s.Hosts() {
		if to.Host == own {
			return to, false, nil
		}
	}
	return to, true, nil
}

func (s *Server) alterCallback(answer *httptest.ResponseRecorder, q Quirks) error {
	to, away, err := s.location(answer)
	if err != nil || !away {
		return err
	}
	v := to.Query()
	set(v, "iss", q.CallbackIss, "https://"+ForeignHost+pscstub.Path)
	set(v, "state", q.CallbackState, "not-the-state")
	if q.CallbackError != "" {
		v.Del("code")
		v.Set("error", q.CallbackError)
	}
	to.RawQuery = v.Encode()
	answer.Header().Set("Location", to.String())
	return nil
}

func (s *Server) alterLogout(answer *httptest.ResponseRecorder, q Quirks) error {
	to, away, err := s.location(answer)
	if err != nil || !away {
		return err
	}
	v := to.Query()
	set(v, "state", q.LogoutState, "not-the-state")
	to.RawQuery = v.Encode()
	answer.Header().Set("Location", to.String())
	return nil
}

func set(v url.Values, name string, p Presence, wrong string) {
	switch p {
	case Absent:
		v.Del(name)
	case Wrong:
		v.Set(name, wrong)
	}
}

func (s *Server) alterDiscovery(answer *httptest.ResponseRecorder, q Quirks) error {
	var doc map[string]any
	if err := json.Unmarshal(answer.Body.Bytes(), &doc); err != nil {
		return err
	}
	foreign := "https://" + ForeignHost + pscstub.Path
	switch q.Discovery {
	case "":
		return nil
	case DiscoveryWrongIssuer:
		doc["issuer"] = foreign
	case DiscoveryForeignHost:
		doc["token_endpoint"] = foreign + pscstub.TokenPath
	case DiscoveryForeignKeys:
		doc["jwks_uri"] = foreign + pscstub.KeysPath
	case DiscoveryHTTP:
		doc["token_endpoint"] = strings.Replace(s.config.Issuer, "https:", "http:", 1) + pscstub.TokenPath
	case DiscoveryNoKeys:
		delete(doc, "jwks_uri")
	case DiscoveryNoLogout:
		delete(doc, "end_session_endpoint")
	case DiscoveryNotJSON:
		setPage(answer)
		return nil
	default:
		return errors.New("unknown quirk of the discovery document")
	}
	return setJSON(answer, doc)
}

func setJSON(answer *httptest.ResponseRecorder, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	answer.Header().Set("Content-Type", "application/json")
	answer.Body.Reset()
	answer.Body.Write(data)
	return nil
}

func setPage(answer *httptest.ResponseRecorder) {
	answer.Header().Set("Content-Type", "text/html")
	answer.Body.Reset()
	answer.Body.WriteString("<html><body><h1>Maintenance</h1></body></html>")
}
