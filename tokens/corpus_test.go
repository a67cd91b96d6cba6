package tokens_test

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"
)

// TestMain makes tiktoken-go use its embedded vocabularies. Package tokens does not change the globals of
// the library.
func TestMain(m *testing.M) {
	tiktoken.SetBpeLoader(loader.NewOfflineLoader())
	m.Run()
}

// references are the encoders of the library, with the patterns of the library.
var references = func() map[string]func() *tiktoken.Tiktoken {
	m := make(map[string]func() *tiktoken.Tiktoken)
	for _, encoding := range encodings {
		m[encoding] = sync.OnceValue(func() *tiktoken.Tiktoken {
			enc, err := tiktoken.GetEncoding(encoding)
			if err != nil {
				panic(err)
			}
			return enc
		})
	}
	return m
}()

// reference counts s as a whole, with the library.
func reference(encoding, s string) int {
	return len(references[encoding]().EncodeOrdinary(s))
}

// corpus holds a few lines of ordinary text in many human and computer languages.
var corpus = map[string]string{
	"english": "The server answers “429 Too Many Requests” when a key sends more than it may. Don't retry at once; " +
		"it's better to wait, isn't it? In 2024, about 3,500,000 requests (12.5%) were refused — most of them needlessly.\n\n",
	"french":     "L'été dernier, nous n'avons presque pas dormi : il faisait trop chaud. Où étiez-vous, Françoise ? « Ailleurs », dit-elle.\n",
	"german":     "Die Straßenbahnhaltestelle wurde für Überlandfahrten umgebaut. Donaudampfschifffahrtsgesellschaftskapitän Müller war's egal.\n",
	"polish":     "Zażółć gęślą jaźń. Wszystkie prośby są liczone, zanim zostaną wysłane do serwera.\n",
	"vietnamese": "Tôi muốn biết câu hỏi này tốn bao nhiêu đơn vị trước khi gửi đi.\n",
	"russian":    "Сколько это будет стоить? Никто не знает; подождём до завтра, а потом спросим ещё раз.\n",
	"greek":      "Πόσο κοστίζει αυτό το κείμενο; Κανείς δεν ξέρει ακόμη, αλλά θα το μετρήσουμε.\n",
	"arabic":     "كم يكلف هذا النص؟ لا أحد يعرف بعد، لكننا سنحسبه قبل أن نرسله. العدد ١٢٣٤.\n",
	"hebrew":     "כמה עולה הטקסט הזה? איש אינו יודע, אבל נספור אותו לפני השליחה.\n",
	"hindi":      "इस पाठ की लागत कितनी होगी? अभी किसी को नहीं पता, पर हम भेजने से पहले गिन लेंगे।\n",
	"thai":       "ข้อความนี้มีค่าใช้จ่ายเท่าไร ยังไม่มีใครรู้ แต่เราจะนับก่อนส่ง\n",
	"chinese":    "这段文字要花多少钱？现在还没有人知道，不过我们会在发送之前先算一算。2024年共有三百五十万次请求。",
	"japanese":   "この文章はいくらかかりますか？まだ誰も知りませんが、送信する前に数えます。「テスト」は１２３回です。",
	"korean":     "이 글은 비용이 얼마나 들까요? 아직 아무도 모르지만 보내기 전에 세어 보겠습니다.\n",
	"emoji":      "Great work 👏👏🏽! The 👩‍👩‍👧‍👦 family flew ✈️ to 🇫🇷 on 1️⃣ May… 🎉🎉🎉\n",
	"go": "func (c *Counter) Text(s string) int {\n\tif s == \"\" {\n\t\treturn 0\n\t}\n\n" +
		"\tfor i := 0; i < len(s); i++ { total += int(s[i]) << 3 } // don't\n\treturn total\n}\n\n",
	"python":   "def count(text: str, *, limit=1_000) -> int:\n    \"\"\"Count.\"\"\"\n    return sum(1 for _ in text[:limit] if _ != '\\n')\n\n\n",
	"json":     `{"model":"mistral-small-latest","messages":[{"role":"user","content":"Hi\n"}],"temperature":0.7,"n":[1,22,333,4444],"x":null},`,
	"markdown": "## Limits\r\n\r\n| model | rpm | tpm |\r\n|-------|----:|----:|\r\n| small |  60 | 500000 |\r\n\r\n* [link](https://example.org/a/b?c=d&e=%20f#g)\r\n",
	"html":     "<div class=\"a b\">\n    <p>It&#39;s <b>bold</b>.</p>\n        <!-- ==== -->\n</div>\n<|endoftext|>",
	"table":    "id\tname\t\tvalue\n1\tα\t\t-0.001e-10\n2\t\t\t\n   3  \t x \n",
	"letters":  "dGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIHRoZSBsYXp5IGRvZw==\nhttps://example.org/AbCdEfGh/0123456789abcdef/XYZ\n",
}

// mix returns about n bytes of the given texts, repeated in random order.
func mix(r *rand.Rand, n int, texts ...string) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(texts[r.IntN(len(texts))])
		if r.IntN(4) == 0 {
			b.WriteString([]string{" ", "\n", "\n\n", "  \n\t", "1. ", "- ", "'"}[r.IntN(7)])
		}
	}
	return b.String()
}
