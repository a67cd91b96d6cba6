package wire

// Sample returns a pseudorandom number in [0, 1) that depends only on its arguments. Each
// stream of a seed is an independent sequence, of which n is the index.
func Sample(seed uint64, stream, n int) float64 {
	x := splitmix64(splitmix64(seed+uint64(stream)) + uint64(n)) //nolint:gosec // Neither is negative.
	return float64(x>>11) / (1 << 53)
}

// splitmix64 is the SplitMix64 generator by Sebastiano Vigna.
func splitmix64(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
