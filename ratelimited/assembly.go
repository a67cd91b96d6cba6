package ratelimited

import (
	"cmp"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// An assembly assembles the events of a stream to the response that a non-streaming call would return.
type assembly struct {
	conversationID string
	outputs        []*output // in the order of their first events
	byKey          map[outputKey]*output
	usage          *generated.ConversationUsageInfo
	parts          int // number of entries and pieces
}

// maxParts bounds the parts of a response: a part needs up to 2 KB of memory for an event of 50 bytes.
const maxParts = 20_000

type outputKey struct {
	id   string
	kind generated.EntryType
}

// An output is an entry that is being received. Its kind decides which of the fields are used.
type output struct {
	outputKey
	parts     *int // parts of the assembly
	message   generated.MessageOutputEntry
	pieces    []*piece       // of the message's content
	latest    map[int]*piece // latest piece by index
	call      generated.FunctionCallEntry
	tool      generated.ToolExecutionEntry
	handoff   generated.AgentHandoffEntry
	arguments strings.Builder // of the call or the tool
}

// A piece is one chunk of a message. Events append to texts and thoughts; all other chunks arrive as a whole.
type piece struct {
	index   int
	text    strings.Builder       // a text, or the latest text of thoughts
	isChunk bool                  // the text arrived as a chunk instead of a bare string
	thought *generated.ThinkChunk // thoughts before the latest text
	whole   generated.ContentChunk
}

// add adds an event.
func (a *assembly) add(event sse.Event) {
	switch e := event.(type) {
	case generated.ResponseStartedEvent:
		a.conversationID = e.ConversationID
	case generated.ResponseDoneEvent:
		if isReadable(e.Usage, e.Mismatches()) {
			a.usage = &e.Usage
		}
	case generated.MessageOutputEvent:
		o := a.output(e.ID, generated.EntryTypeMessageOutput)
		if len(o.pieces) == 0 {
			o.message = generated.MessageOutputEntry{Model: e.Model, AgentID: e.AgentID, Role: e.Role, CreatedAt: e.CreatedAt}
		}
		o.addContent(e.ContentIndex, e.Content)
	case generated.FunctionCallEvent:
		o := a.output(e.ID, generated.EntryTypeFunctionCall)
		if o.call.CreatedAt.IsZero() {
			o.call.Model, o.call.AgentID, o.call.CreatedAt = e.Model, e.AgentID, e.CreatedAt
		}
		setIfAny(&o.call.Name, e.Name)
		setIfAny(&o.call.ToolCallID, e.ToolCallID)
		setIfAny(&o.call.ConfirmationStatus, e.ConfirmationStatus)
		o.arguments.WriteString(e.Arguments)
	case generated.ToolExecutionStartedEvent:
		o := a.output(e.ID, generated.EntryTypeToolExecution)
		o.tool.Model, o.tool.AgentID, o.tool.Name, o.tool.CreatedAt = e.Model, e.AgentID, e.Name, e.CreatedAt
		setIfAny(&o.tool.Function, e.Function)
		o.arguments.WriteString(e.Arguments)
	case generated.ToolExecutionDeltaEvent:
		a.output(e.ID, generated.EntryTypeToolExecution).arguments.WriteString(e.Arguments)
	case generated.ToolExecutionDoneEvent:
		o := a.output(e.ID, generated.EntryTypeToolExecution)
		setIfAny(&o.tool.Name, e.Name)
		setIfAny(&o.tool.Function, e.Function)
		o.tool.Info, o.tool.CompletedAt = e.Info, e.CreatedAt
	case generated.AgentHandoffStartedEvent:
		o := a.output(e.ID, generated.EntryTypeAgentHandoff)
		o.handoff.CreatedAt = e.CreatedAt
		o.handoff.PreviousAgentID, o.handoff.PreviousAgentName = e.PreviousAgentID, e.PreviousAgentName
	case generated.AgentHandoffDoneEvent:
		o := a.output(e.ID, generated.EntryTypeAgentHandoff)
		o.handoff.NextAgentID, o.handoff.NextAgentName, o.handoff.CompletedAt = e.NextAgentID, e.NextAgentName, e.CreatedAt
	}
}

func setIfAny[T ~string](field *T, value T) {
	if value != "" {
		*field = value
	}
}

// output returns the entry with the given id and kind. It adds a new entry if necessary.
func (a *assembly) output(id string, kind generated.EntryType) *output {
	key := outputKey{id, kind}
	if o := a.byKey[key]; o != nil {
		return o
	}
	if a.byKey == nil {
		a.byKey = map[outputKey]*output{}
	}
	o := &output{outputKey: key, parts: &a.parts}
	a.parts++
	a.outputs, a.byKey[key] = append(a.outputs, o), o
	return o
}

// addContent adds the next part of a message's content: a bare string, which continues a text, or chunks.
func (o *output) addContent(index int, content generated.MessageContent) {
	if text, ok := content.PlainText(); ok {
		o.textPiece(index).text.WriteString(text)
		return
	}
	for _, chunk := range content.Chunks() {
		if *o.parts > maxParts {
			return // the stream ends here
		}
		switch v := chunk.Value().(type) {
		case generated.TextChunk:
			p := o.textPiece(index)
			p.isChunk = true
			p.text.WriteString(v.Text)
		case generated.ThinkChunk:
			o.addThinking(index, v)
		default:
			o.addPiece(&piece{index: index, whole: chunk})
		}
	}
}

// textPiece returns the text that continues at an index. It adds a new piece if necessary.
func (o *output) textPiece(index int) *piece {
	if p := o.latest[index]; p != nil && p.thought == nil && p.whole.IsZero() {
		return p
	}
	return o.addPiece(&piece{index: index})
}

// addPiece adds a piece, which becomes the latest one at its index.
func (o *output) addPiece(p *piece) *piece {
	if o.latest == nil {
		o.latest = map[int]*piece{}
	}
	o.pieces, o.latest[p.index] = append(o.pieces, p), p
	*o.parts++
	return p
}

// addThinking appends to the thoughts at an index. It joins successive texts.
func (o *output) addThinking(index int, delta generated.ThinkChunk) {
	p := o.latest[index]
	if p == nil || p.thought == nil {
		p = o.addPiece(&piece{index: index, thought: &generated.ThinkChunk{}})
	}
	for _, chunk := range delta.Thinking {
		if *o.parts > maxParts {
			return // the stream ends here
		}
		if text, ok := chunk.Value().(generated.TextChunk); ok {
			p.text.WriteString(text.Text)
			continue
		}
		if p.text.Len() > 0 {
			p.thought.Thinking = append(p.thought.Thinking, generated.NewContentChunk(generated.TextChunk{Text: p.text.String()}))
			p.text.Reset()
		}
		p.thought.Thinking = append(p.thought.Thinking, chunk)
		*o.parts++
	}
	setIfAny(&p.thought.Signature, delta.Signature)
	if delta.Closed != nil {
		p.thought.Closed = delta.Closed
	}
}

// thinking returns all thoughts of a piece, including the latest text.
func (p *piece) thinking() []generated.ContentChunk {
	thoughts := slices.Clip(p.thought.Thinking)
	if p.text.Len() > 0 {
		thoughts = append(thoughts, generated.NewContentChunk(generated.TextChunk{Text: p.text.String()}))
	}
	return thoughts
}

// response returns the response received so far.
func (a *assembly) response() *generated.ConversationResponse {
	r := &generated.ConversationResponse{Object: "conversation.response", ConversationID: a.conversationID, Outputs: []generated.Entry{}}
	if a.usage != nil {
		r.Usage = *a.usage
	}
	for _, o := range a.outputs {
		r.Outputs = append(r.Outputs, o.entry())
	}
	return r
}

// entryObject is the value of "object" in every entry.
const entryObject = "entry"

func (o *output) entry() generated.Entry {
	switch o.kind {
	case generated.EntryTypeMessageOutput:
		message := o.message
		message.ID, message.Object = o.id, entryObject
		message.Content = o.content()
		return generated.NewEntry(message)
	case generated.EntryTypeFunctionCall:
		call := o.call
		call.ID, call.Object = o.id, entryObject
		call.Arguments = generated.FunctionCallEntryArguments(cmp.Or(o.arguments.String(), "{}"))
		return generated.NewEntry(call)
	case generated.EntryTypeToolExecution:
		tool := o.tool
		tool.ID, tool.Object = o.id, entryObject
		tool.Arguments = o.arguments.String()
		return generated.NewEntry(tool)
	default:
		handoff := o.handoff
		handoff.ID, handoff.Object = o.id, entryObject
		return generated.NewEntry(handoff)
	}
}

// content returns the content of a message: a text if it consists of bare strings only, otherwise a list of chunks.
func (o *output) content() generated.MessageContent {
	if len(o.pieces) == 1 && o.pieces[0].isBare() {
		return generated.NewTextContent(o.pieces[0].text.String())
	}
	chunks := make([]generated.ContentChunk, 0, len(o.pieces))
	for _, p := range o.pieces {
		switch {
		case p.isBare() && p.text.Len() == 0: // an empty beginning
		case p.thought != nil:
			thought := *p.thought
			thought.Thinking = p.thinking()
			chunks = append(chunks, generated.NewContentChunk(thought))
		case !p.whole.IsZero():
			chunks = append(chunks, p.whole)
		default:
			chunks = append(chunks, generated.NewContentChunk(generated.TextChunk{Text: p.text.String()}))
		}
	}
	return generated.NewChunkContent(chunks...)
}

func (p *piece) isBare() bool { return p.thought == nil && p.whole.IsZero() && !p.isChunk }

// otherTexts returns the texts that the model wrote outside of its messages.
func (a *assembly) otherTexts() []string {
	var texts []string
	for _, o := range a.outputs {
		if o.arguments.Len() > 0 {
			texts = append(texts, o.arguments.String())
		}
		for _, p := range o.pieces {
			if p.thought == nil {
				continue
			}
			for _, part := range p.thinking() {
				if text, ok := part.Value().(generated.TextChunk); ok {
					texts = append(texts, text.Text)
				}
			}
		}
	}
	return texts
}
