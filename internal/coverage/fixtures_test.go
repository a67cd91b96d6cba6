package coverage_test

import (
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

const model = "mistral-small-latest"

// connector is the id of a custom connector.
const connector = "my_crm"

var metadata = map[string]any{"team": "a", "deep": map[string]any{"n": []any{1.0}}}

func ptr[T any](value T) *T { return ratelimited.Ptr(value) }

// allTools returns tools of all types, with all fields set.
func allTools(c generated.ToolConfiguration) []generated.Tool {
	variants := []generated.ToolVariant{
		generated.FunctionTool{Function: generated.Function{
			Name: "get_weather", Description: "Returns the weather", Strict: true, Parameters: weatherSchema(),
		}},
		generated.WebSearchTool{ToolConfiguration: c},
		generated.WebSearchPremiumTool{ToolConfiguration: c},
		generated.CodeInterpreterTool{ToolConfiguration: c},
		generated.ImageGenerationTool{ToolConfiguration: c},
		generated.DocumentLibraryTool{ToolConfiguration: c, LibraryIDs: []string{"lib"}},
		generated.CustomConnector{ToolConfiguration: c, ConnectorID: connector, Authorization: generated.NewConnectorAuth(generated.APIKeyAuth{Value: "v"})},
		generated.CustomConnector{ConnectorID: "other", Authorization: generated.NewConnectorAuth(generated.OAuth2TokenAuth{Value: "v"})},
	}
	tools := make([]generated.Tool, len(variants))
	for i, v := range variants {
		tools[i] = generated.NewTool(v)
	}
	return tools
}

// configured returns a tool configuration with all fields set.
func configured() generated.ToolConfiguration {
	return generated.ToolConfiguration{Exclude: []string{"a"}, Include: []string{"b"}, RequiresConfirmation: []string{"c"}}
}

func weatherSchema() map[string]any {
	return map[string]any{
		"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []any{"city"},
		"additionalProperties": false,
	}
}

// allArgs returns generation parameters with all fields set.
func allArgs() generated.CompletionArgs {
	return generated.CompletionArgs{
		Stop: generated.CompletionArgsStop{"END", "STOP"}, PresencePenalty: ptr(0.5), FrequencyPenalty: ptr(-0.5),
		Temperature: ptr(0.3), TopP: ptr(0.9), MaxTokens: ptr(500), RandomSeed: ptr(7), ToolChoice: generated.ToolChoiceEnumAuto,
		Prediction: generated.Prediction{Type: "content", Content: "a prediction"}, ReasoningEffort: generated.ReasoningEffortLow,
		ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{
			Name: "weather", Description: "The weather", Strict: true, Schema: weatherSchema(),
		}},
	}
}

// allGuardrails returns guardrails with both moderation models and all categories. One
// model blocks and the other does not.
func allGuardrails() []generated.GuardrailConfig {
	half := ptr(0.5)
	return []generated.GuardrailConfig{{
		BlockOnError: true,
		ModerationLLMV1: generated.ModerationLLMV1Config{
			ModelName: "mistral-moderation-2411", Action: generated.ModerationLLMActionNone, IgnoreOtherCategories: true,
			CustomCategoryThresholds: generated.ModerationLLMV1CategoryThresholds{
				DangerousAndCriminalContent: half, Financial: half, HateAndDiscrimination: half, Health: half, Law: half,
				PII: half, Selfharm: half, Sexual: half, ViolenceAndThreats: half,
			},
		},
		ModerationLLMV2: generated.ModerationLLMV2Config{
			ModelName: "mistral-moderation-2603", Action: generated.ModerationLLMActionBlock, IgnoreOtherCategories: true,
			CustomCategoryThresholds: generated.ModerationLLMV2CategoryThresholds{
				Criminal: half, Dangerous: half, Financial: half, HateAndDiscrimination: half, Health: half, Jailbreaking: half, Law: half,
				PII: half, Selfharm: half, Sexual: half, ViolenceAndThreats: half,
			},
		},
	}}
}

// chunks returns a list of content chunks.
func chunks(variants ...generated.ContentChunkVariant) []generated.ContentChunk {
	list := make([]generated.ContentChunk, len(variants))
	for i, v := range variants {
		list[i] = generated.NewContentChunk(v)
	}
	return list
}

// inputChunks returns chunks of all types that a user's message may contain.
func inputChunks() []generated.ContentChunk {
	return chunks(
		generated.TextChunk{Text: "Look: "},
		generated.ImageURLChunk{ImageURL: generated.ImageURL{URL: "https://example.com/a.png", Detail: generated.ImageDetailLow}},
		generated.ImageURLChunk{ImageURL: generated.ImageURL{URL: "https://example.com/b.png", Detail: generated.ImageDetailAuto}},
		generated.ImageURLChunk{ImageURL: generated.ImageURL{URL: "https://example.com/c.png", Detail: generated.ImageDetailHigh}},
		generated.ToolFileChunk{Tool: "image_generation", FileID: "file_1", FileName: "d.png", FileType: "png"},
		generated.ToolFileChunk{Tool: connector, FileID: "file_2"},
		generated.DocumentURLChunk{DocumentURL: "https://example.com/e.pdf", DocumentName: "e"},
		generated.ThinkChunk{Closed: ptr(true), Signature: "s", Thinking: chunks(
			generated.TextChunk{Text: "hm"},
			generated.ToolReferenceChunk{Tool: "web_search", Title: "t"},
			generated.ReferenceChunk{ReferenceIDs: []generated.StringOrInteger{"1", "b"}},
		)},
	)
}

// outputChunks returns chunks of all types that a model's message may contain.
func outputChunks() []generated.ContentChunk {
	return append(inputChunks(), chunks(
		generated.ToolReferenceChunk{
			Tool: "web_search", Title: "t", URL: "https://example.com/", Favicon: "https://example.com/f.ico", Description: "d",
		},
		generated.ToolReferenceChunk{Tool: connector, Title: "t"},
	)...)
}

// message returns a message entry of the model.
func message(content generated.MessageContent) generated.Entry {
	return generated.NewEntry(generated.MessageOutputEntry{Content: content})
}
