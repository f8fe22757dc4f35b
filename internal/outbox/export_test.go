package outbox

// Rouse makes Run look at once, instead of in a few seconds.
func (o *Outbox) Rouse() { o.rouse() }
