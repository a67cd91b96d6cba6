// Package server holds the routes of the API as an interface, for the emulator to
// implement: an operation that the document gains does not compile until the
// emulator has it.
package server
