// Package web draws the pages of both programs: layout, texts in French and English, style, the little script there is.
//
// A page is a value that says what is the case; the package says it to a person. Texts come from catalogues, never from an
// error. Every page is sent with a strict content security policy (no inline code or style, no frame, nothing from another
// host) and is never stored by a cache. Pages is safe for concurrent use.
package web
