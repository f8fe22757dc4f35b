// Package proxy forwards the requests of people with a session to one service, and tells it who they are.
//
// It owns what crosses the boundary to the service: which headers and cookies of the client never reach it, which ones the gateway
// adds, how long each step may take. Who somebody is, and what becomes of those who are nobody, is for a Gate to say. It never reads a
// body and looks at no path: every request of a service host is treated alike, so no spelling of a path avoids anything.
//
// A Proxy is safe for concurrent use.
package proxy
