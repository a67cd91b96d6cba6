// Package outage holds calls while a server, or one of its models, is down, and
// detects when it is back.
//
// A [Tracker] tracks outages by host and by model of a host. Calls report the outcome
// of each attempt to it: see [Call.Report]. When the outcomes show that the host or
// model is down, a hold begins. Calls then wait without a permit, and the oldest
// one is sent as a probe from time to time. The first [Alive] outcome ends the hold.
// All calls go back to their limiters with their places in the queue, so the
// limiters pace and order the resumption.
//
// A host that has never had an Alive outcome is not held: its address is probably
// wrong, and waiting would hide this.
package outage
