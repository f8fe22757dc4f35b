package config

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"strings"
)

// maxLogo bounds the image of a service, in bytes: it is shown 48 pixels wide.
const maxLogo = 64 << 10

const logoWanted = "a logo (an SVG or PNG image of at most 64 KB)"

// logo reads the path of an image that browsers can show.
func logo(v value) (string, error) {
	name, err := regular(logoWanted, maxLogo)(v)
	if err != nil {
		return "", err
	}
	if _, _, err := LoadLogo(name); err != nil {
		return "", err
	}
	return name, nil
}

// LoadLogo reads the image of a service, and says what it is: image/png or image/svg+xml, by its content and never by its name.
func LoadLogo(name string) (mediaType string, data []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return "", nil, fmt.Errorf("%s expected at %s: %s", logoWanted, quote(name), reason(err))
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, maxLogo+1))
	if err != nil {
		return "", nil, fmt.Errorf("%s expected at %s: %s", logoWanted, quote(name), reason(err))
	}
	if len(data) > maxLogo { // it was shorter when it was looked at
		return "", nil, fmt.Errorf("%s expected at %s: the file has more than %d bytes", logoWanted, quote(name), maxLogo)
	}
	if mediaType, err = imageType(data); err != nil {
		return "", nil, fmt.Errorf("%s expected at %s: %w", logoWanted, quote(name), err)
	}
	return mediaType, data, nil
}

// pngSignature is how a PNG file begins: PNG specification, section 5.2.
const pngSignature = "\x89PNG\r\n\x1a\n"

func imageType(data []byte) (string, error) {
	if bytes.HasPrefix(data, []byte(pngSignature)) {
		if _, err := png.DecodeConfig(bytes.NewReader(data)); err != nil { // the head alone: a small file may hold a huge picture
			return "", errors.New("it begins as PNG and is damaged: export it again")
		}
		return "image/png", nil
	}
	text := bytes.TrimPrefix(data, []byte("\ufeff"))
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("<")) {
		return "", errors.New("it is neither: convert it, or leave logo out and the portal shows a letter")
	}
	if err := checkSVG(text); err != nil {
		return "", err
	}
	return "image/svg+xml", nil
}

const svgSpace = "http://www.w3.org/2000/svg"

var errNotUTF8 = errors.New("it says that it is in another encoding: save it as UTF-8")

// checkSVG accepts one well-formed XML document whose root is svg. What is in it is not judged: it is served so that none of it runs.
func checkSVG(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) { return nil, errNotUTF8 }
	depth, roots := 0, 0
	for {
		token, err := d.Token()
		switch {
		case errors.Is(err, io.EOF) && roots == 1:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("there is no <svg> in it")
		case errors.Is(err, errNotUTF8):
			return errNotUTF8
		case err != nil: // not shown: it may quote what is in the file
			line, _ := d.InputPos()
			return fmt.Errorf("it looks like SVG, and line %d of it is not well-formed XML: export it again", line)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
				if err := checkRoot(token.Name, roots); err != nil {
					return err
				}
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && strings.TrimSpace(string(token)) != "" {
				return errors.New("it looks like SVG, and there is text outside of <svg>: export it again")
			}
		}
	}
}

// checkRoot accepts the first element of a document when it is that of SVG. Browsers go by the namespace: without it they show nothing.
func checkRoot(name xml.Name, roots int) error {
	switch {
	case roots > 1:
		return errors.New("it looks like SVG, and something follows </svg>: export it again")
	case name.Local != "svg":
		return errors.New("it is XML, and its root is another one than <svg>")
	case name.Space != svgSpace:
		return errors.New(`its <svg> lacks xmlns="` + svgSpace + `", without which browsers show nothing`)
	}
	return nil
}
