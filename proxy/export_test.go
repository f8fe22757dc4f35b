package proxy

import "net/http"

// TestOnlyTransport returns the way to the service, so that a test can shorten it.
func (p *Proxy) TestOnlyTransport() *http.Transport { return p.transport }
