package config

import (
	"io"
	"log/slog"
)

// Logger returns the logger that l describes.
func (l Log) Logger(w io.Writer) *slog.Logger {
	var level slog.Level                     // info
	_ = level.UnmarshalText([]byte(l.Level)) // checked when it was read; the zero value means info
	options := &slog.HandlerOptions{Level: level}
	if l.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}
