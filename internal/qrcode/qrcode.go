// Package qrcode draws QR codes as SVG, to be put into a page.
//
// It owns the drawing; the modules are computed by rsc.io/qr (ISO/IEC 18004). The text is in no error of it, since it
// may be a secret. It keeps nothing, and its functions may be called at once.
package qrcode

import (
	"errors"
	"fmt"
	"html/template"
	"strings"

	"rsc.io/qr"
)

const (
	quiet = 4 // modules of quiet zone on each side: ISO/IEC 18004, section 9.1

	// maxText bounds a text, in bytes. With level M it makes a code of 85 modules, which a telephone reads from a screen; much beyond it none does.
	maxText = 512
)

// SVG returns an image of a text, an address say, as an element svg, black on white in any colour scheme, since scanners want dark modules on a light
// ground. It has no size of its own and fills what is around it. Whoever looks at it hears nothing of it: the page around gives the text
// alternative.
func SVG(text string) (template.HTML, error) {
	if text == "" || len(text) > maxText {
		return "", fmt.Errorf("QR code: a text of 1 to %d bytes expected, one of %d given", maxText, len(text))
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "", errors.New("QR code: a text of ASCII expected") // a code does not say which other characters its bytes are: readers guess
	}
	// Level M corrects 15 %: enough for a screen.
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", errors.New("QR code: the text cannot be encoded") // the cause repeats the text
	}
	side := code.Size
	var path strings.Builder
	for y := range side {
		for x := 0; x < side; x++ {
			run := 0
			for x+run < side && code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
				x += run
			}
		}
	}
	whole := side + 2*quiet
	// Only numbers are written: nothing of the text comes into the markup.
	return template.HTML(fmt.Sprintf(`<svg class="qr" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" aria-hidden="true" focusable="false">`+
		`<path fill="#ffffff" d="M0 0h%dv%dH0z"/><path fill="#000000" d="%s"/></svg>`, whole, whole, whole, whole, path.String())), nil
}
