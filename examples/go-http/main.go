// Command go-http greets over HTTP, in the language of the visitor.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"golang.org/x/text/language"
)

var greetings = map[language.Tag]string{
	language.English: "Hello from Go",
	language.German:  "Hallo von Go",
	language.French:  "Bonjour de Go",
}

var matcher = language.NewMatcher([]language.Tag{language.English, language.German, language.French})

func greet(w http.ResponseWriter, r *http.Request) {
	tag, _ := language.MatchStrings(matcher, r.Header.Get("Accept-Language"))
	base, _ := tag.Base()
	fmt.Fprintln(w, greetings[language.Make(base.String())])
}

func main() {
	http.HandleFunc("/", greet)
	address := ":" + os.Getenv("PORT")
	log.Printf("listening on %s", address)
	log.Fatal(http.ListenAndServe(address, nil))
}
