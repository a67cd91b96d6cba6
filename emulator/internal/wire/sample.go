package wire

// Sample returns a number from 0 up to 1, without 1, that depends on its arguments alone.
func Sample(seed uint64, kind, request int) float64 {
	x := splitmix64(splitmix64(seed+uint64(kind)) + uint64(request)) //nolint:gosec // Neither is negative.
	return float64(x>>11) / (1 << 53)
}

// splitmix64 is the step of that generator, by Sebastiano Vigna.
func splitmix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
