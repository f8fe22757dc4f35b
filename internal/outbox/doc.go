// Package outbox keeps messages that nobody waits for (codes of a login, notices) until the mail server has taken them.
//
// It owns when a message is tried, and when it is given up. What waits is in the database, sealed, so that it survives a restart and shows
// neither codes nor addresses; of several gateways on one database one sends each. A message goes out at least once: twice when the
// gateway ends between the server's yes and the database's. It never sends to an address that is not that of an account's record, nor
// writes one to the log. An Outbox is safe for concurrent use.
package outbox
