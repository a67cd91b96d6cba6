package emulator

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// usualThreshold is the score from which on a category counts, where none is set.
const usualThreshold = 0.5

// signs are what the emulator's moderation goes by: a text that has one of them scores
// 1 in that category, any other 0.
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

var (
	categoriesV1 = strings.Fields("sexual hate_and_discrimination violence_and_threats dangerous_and_criminal_content selfharm health financial law pii")
	categoriesV2 = strings.Fields("sexual hate_and_discrimination violence_and_threats dangerous criminal selfharm health financial law pii jailbreaking")
)

// moderate judges what a call adds, as the service does: its input alone. The verdict
// is nil without guardrails.
func moderate(guardrails []generated.GuardrailConfig, inputs []generated.Entry) (verdict []generated.JSON, blocked bool) {
	var text strings.Builder
	for _, entry := range inputs {
		if m, ok := entry.Value().(generated.MessageInputEntry); ok {
			text.WriteString(m.Content.Text() + "\n")
		}
	}
	for _, g := range guardrails {
		v1, v2 := g.ModerationLLMV1, g.ModerationLLMV2
		for _, m := range []moderation{
			{"moderation_llm_v1", v1 != generated.ModerationLLMV1Config{}, v1.Action, categoriesV1, v1.CustomCategoryThresholds, v1.IgnoreOtherCategories},
			{"moderation_llm_v2", v2 != generated.ModerationLLMV2Config{}, v2.Action, categoriesV2, v2.CustomCategoryThresholds, v2.IgnoreOtherCategories},
		} {
			if !m.set {
				continue
			}
			found := m.judge(text.String())
			block := len(found) > 0 && m.action == generated.ModerationLLMActionBlock
			blocked = blocked || block
			verdict = append(verdict, map[string]any{"type": m.name, "categories": found, "blocked": block})
		}
	}
	return verdict, blocked
}

// moderation is one model of it as a guardrail sets it up.
type moderation struct {
	name       string
	set        bool
	action     generated.ModerationLLMAction
	categories []string
	thresholds any  // a struct that has them by category
	only       bool // those with a threshold of their own
}

// judge returns the categories whose score reaches its threshold.
func (m moderation) judge(text string) []string {
	var own map[string]float64
	_ = json.Unmarshal(encode(m.thresholds), &own) // It came as JSON.
	found := []string{}
	for _, category := range m.categories {
		threshold, set := own[category]
		switch {
		case m.only && !set:
			continue
		case !set:
			threshold = usualThreshold
		}
		score := 0.0
		if signs[category].MatchString(text) {
			score = 1
		}
		if score >= threshold {
			found = append(found, category)
		}
	}
	return found
}

// guardrailBlock is the reply to what a guardrail blocks, its error nested.
func guardrailBlock(verdict any) *failure {
	return &failure{status: http.StatusForbidden, body: map[string]any{
		"error": errorObject{
			Object: "error", Message: "Request was blocked by a guardrail", Type: "guardrail_violation",
			Code: "1920", RawStatusCode: http.StatusForbidden,
		},
		"guardrails": verdict,
	}}
}
