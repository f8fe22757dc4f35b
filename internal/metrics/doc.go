// Package metrics counts what the gateway does, for Prometheus.
//
// It owns a registry of its own, and no variable of a package. It never holds what tells one person from another: its labels are words of
// the program and names of the configuration, and of each label there is a bounded number of values. All of it may be used at once.
package metrics
