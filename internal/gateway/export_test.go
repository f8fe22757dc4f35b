package gateway

// Refresh does what the gateway does every minute. The test calls it in the first one.
func (g *Gateway) Refresh() { g.judge.refresh() }

// CloseStore takes the database away.
func (g *Gateway) CloseStore() error { return g.store.Close() }
