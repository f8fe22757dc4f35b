package oidc

import (
	"errors"
	"net/http"
	"net/url"
)

const pushedPrefix = "urn:ietf:params:oauth:request_uri:"

func (p *Provider) pushed(*http.Request, url.Values) (*inquiry, error) { return nil, errors.New("x") }
