package engine

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// defaultThreshold is the score from which on a category counts, if it has no threshold.
const defaultThreshold = 0.5

// signs are the words of each category: a text that has one scores 1 there, any other 0.
var signs = map[string]*regexp.Regexp{
	"sexual":                         regexp.MustCompile(`(?i)\bsexual\w*`),
	"hate_and_discrimination":        regexp.MustCompile(`(?i)\b(?:hate|hatred|racist)\b`),
	"violence_and_threats":           regexp.MustCompile(`(?i)\b(?:kill|murder|threaten)\w*`),
	"dangerous_and_criminal_content": regexp.MustCompile(`(?i)\b(?:bomb|explosive|steal|hack)\w*`),
	"dangerous":                      regexp.MustCompile(`(?i)\b(?:bomb|explosive)\w*`),
	"criminal":                       regexp.MustCompile(`(?i)\b(?:steal|hack)\w*`),
	"selfharm":                       regexp.MustCompile(`(?i)\bself-?harm\w*`),
	"health":                         regexp.MustCompile(`(?i)\b(?:diagnos|dosage|prescri)\w*`),
	"financial":                      regexp.MustCompile(`(?i)\b(?:invest|stocks?)\w*`),
	"law":                            regexp.MustCompile(`(?i)\b(?:lawsuit|sue)\b`),
	"pii":                            regexp.MustCompile(`[\w.+-]+@[\w-]+\.\w+`),
	"jailbreaking":                   regexp.MustCompile(`(?i)\bignore (?:all |your )?(?:previous |prior )?instructions\b`),
}

// categories are those of each kind of moderation.
var categories = map[string][]string{
	"moderation_llm_v1": strings.Fields("sexual hate_and_discrimination violence_and_threats dangerous_and_criminal_content selfharm health financial law pii"),
	"moderation_llm_v2": strings.Fields("sexual hate_and_discrimination violence_and_threats dangerous criminal selfharm health financial law pii jailbreaking"),
}

// moderation is one kind of it as a guardrail sets it up.
type moderation struct {
	Action     generated.ModerationLLMAction `json:"action"`
	Thresholds map[string]float64            `json:"custom_category_thresholds"`
	Only       bool                          `json:"ignore_other_categories"` // those with a threshold
}

// Moderate checks the messages that a call adds, as the service does. The verdict is nil
// without guardrails.
func Moderate(guardrails []generated.GuardrailConfig, inputs []generated.Entry) (verdict []generated.JSON, blocked bool) {
	var text strings.Builder
	for _, entry := range inputs {
		if m, ok := entry.Value().(generated.MessageInputEntry); ok {
			text.WriteString(m.Content.Text() + "\n")
		}
	}
	for _, g := range guardrails {
		var kinds map[string]json.RawMessage
		_ = json.Unmarshal(wire.Encode(g), &kinds) // It came as JSON.
		for _, name := range slices.Sorted(maps.Keys(categories)) {
			var m moderation
			if json.Unmarshal(kinds[name], &m) != nil {
				continue // It is not set.
			}
			found := m.find(categories[name], text.String())
			block := len(found) > 0 && m.Action == generated.ModerationLLMActionBlock
			blocked = blocked || block
			verdict = append(verdict, map[string]any{"type": name, "categories": found, "blocked": block})
		}
	}
	return verdict, blocked
}

// find returns the categories whose score reaches its threshold.
func (m moderation) find(categories []string, text string) []string {
	found := []string{}
	for _, category := range categories {
		threshold, set := m.Thresholds[category]
		if m.Only && !set {
			continue
		}
		score := 0.0
		if signs[category].MatchString(text) {
			score = 1
		}
		if !set {
			threshold = defaultThreshold
		}
		if score >= threshold {
			found = append(found, category)
		}
	}
	return found
}
