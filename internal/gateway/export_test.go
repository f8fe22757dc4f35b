package gateway

// Refresh does what the gateway does every few seconds, without waiting for what has changed to be still.
func (g *Gateway) Refresh() { g.poll(true) }

// CloseStore takes the database away.
func (g *Gateway) CloseStore() error { return g.store.Close() }
