package outbox

// Rouse makes Run look at once, instead of in a few seconds.
func (o *Outbox) Rouse() { o.rouse() }

// Delay is how long to wait after a number of tries of a message that lives so long.
var Delay = delay
