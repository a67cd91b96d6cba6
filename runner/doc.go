// Package runner runs models with functions.
package runner
