package oidc

import "net/http"

// frontRoutes are those that browsers come to.
func (p *Provider) frontRoutes(*http.ServeMux) {}
