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

// defaultThreshold is the threshold of categories without a custom one.
const defaultThreshold = 0.5

// triggers maps each category to its trigger words. A text that contains one scores 1 in the
// category; all others score 0.
var triggers = map[string]*regexp.Regexp{
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

// categories maps each kind of moderation to its categories.
var categories = map[string][]string{
	"moderation_llm_v1": strings.Fields("sexual hate_and_discrimination violence_and_threats dangerous_and_criminal_content selfharm health financial law pii"),
	"moderation_llm_v2": strings.Fields("sexual hate_and_discrimination violence_and_threats dangerous criminal selfharm health financial law pii jailbreaking"),
}

// moderation is the configuration of one kind of moderation in a guardrail.
type moderation struct {
	Action     generated.ModerationLLMAction `json:"action"`
	Thresholds map[string]float64            `json:"custom_category_thresholds"`
	Only       bool                          `json:"ignore_other_categories"` // whether only categories with a threshold apply
}

// Moderate applies guardrails to the messages that a call adds. The verdict is nil without
// guardrails.
func Moderate(guardrails []generated.GuardrailConfig, inputs []generated.Entry) (verdict []generated.JSON, blocked bool) {
	var text strings.Builder
	for _, entry := range inputs {
		if m, ok := entry.Value().(generated.MessageInputEntry); ok {
			text.WriteString(m.Content.Text() + "\n")
		}
	}
	for _, g := range guardrails {
		var kinds map[string]json.RawMessage
		_ = json.Unmarshal(wire.Encode(g), &kinds) // The guardrail was decoded from JSON.
		for _, name := range slices.Sorted(maps.Keys(categories)) {
			var m moderation
			if json.Unmarshal(kinds[name], &m) != nil {
				continue // The guardrail does not set it.
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
		if triggers[category].MatchString(text) {
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
