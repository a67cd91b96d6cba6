package emulator

import "fmt"

// redacted stands for the key wherever a Config is printed.
const redacted = "REDACTED"

// redact takes the key out of a Config and returns what tells whether one is it; nil
// where there is none.
func (c *Config) redact() func(string) bool {
	key := c.APIKey
	if key == "" {
		return nil
	}
	c.APIKey = redacted
	return func(other string) bool { return other == key }
}

// printable is a Config without methods and without its key.
func (c Config) printable() any {
	type config Config
	_ = c.redact() // It has no use here.
	return config(c)
}

// Format implements [fmt.Formatter]; no verb for values prints the key. Package fmt itself
// prints fields where a verb is wrong, as %p and, outside [fmt.Errorf], %w are: go vet reports
// that.
func (c Config) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), c.printable())
}

// MarshalText implements [encoding.TextMarshaler], which encoding/json and
// log/slog use; the key is not printed.
func (c Config) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%+v", c.printable()), nil
}

// Format prints the configuration, without the key; for a [Server] too.
func (e Emulator) Format(f fmt.State, verb rune) { e.cfg.Format(f, verb) }
