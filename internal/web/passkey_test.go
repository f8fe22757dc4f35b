package web_test

import (
	"net/http"
	"testing"

	"promess/authgw/internal/web"
)

// The script of the page makes the key and fills in the answer. Sent before it is there, the form would have none, and the person be told to try
// again.
func TestFormOfANewPasskeyWaitsForItsScript(t *testing.T) {
	body := render(t, pages(t, web.Site{}), "fr", http.StatusOK, web.PasskeyAddPage{Options: "/x", Action: "/y"}).Body.String()
	buttons := 0
	for _, e := range find(parse(t, body), "button") {
		if _, start := e.attr["data-start"]; !start {
			continue
		}
		buttons++
		if _, disabled := e.attr["disabled"]; !disabled {
			t.Error("the button sends the form without the script")
		}
	}
	if buttons != 1 {
		t.Errorf("%d buttons begin, want 1", buttons)
	}
}
