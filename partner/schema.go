package partner

import _ "embed"

// Schema is the JSON Schema with which editors check a partner's file. A test generates it from the settings' structs.
//
//go:embed partner.schema.json
var Schema string

// SchemaFile lies next to the folder of the partners' files, which name it in their first line.
const SchemaFile = "partner.schema.json"
