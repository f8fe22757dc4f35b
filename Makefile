# Two targets, the two commands of README.md. Both use plain go commands; nothing is left outside the working tree but Go's own caches.

.PHONY: demo test

# The main job with everything embedded: Go only, no C compiler, no root.
demo:
	CGO_ENABLED=0 go run ./cmd/authgw demo

# Everything: installs what is missing (Debian packages), then checks and tests, the end-to-end tests included.
test:
	./scripts/install-test-packages
	./scripts/check
