// Package outage holds calls while a server, or one model of it, is down, and finds
// out when it is back.
//
// Each host has a gate between the admission of a call and its sending, and so has
// each model of a host. A gate closes when attempts show that nothing works behind
// it, see [Call.Report]. Calls then wait in front of it, without a permit, while the
// oldest of them is sent as a probe from time to time. The first sign of life opens
// the gate, and all calls go back to their limiters in the places that they had, so
// that the limiters pace and order the resumption.
//
// A host that has never shown a sign of life is not in outage: its address is wrong,
// most likely, and waiting would hide that.
package outage
