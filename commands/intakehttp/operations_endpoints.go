package intakehttp

import "quipu/apidoc"

type createEndpointBody struct {
	Slug string `json:"slug" example:"coffee-shop" doc:"1 to 64 lower-case letters, digits and inner hyphens."`
}

type endpointMade struct {
	Endpoint  string  `json:"endpoint" example:"coffee-shop-e66b8d23"`
	Slug      string  `json:"slug" example:"coffee-shop"`
	APIKey    *string `json:"api_key" doc:"Shown this once; the log holds its hash alone. null in the answer to a repeat." example:"qk_0123456789abcdefghijklmnopqrstuv"`
	Message   string  `json:"message,omitempty" doc:"Why api_key is null." example:"an earlier request with this Idempotency-Key made the endpoint; its api_key was shown in the answer to that"`
	CreatedAt string  `json:"created_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	Position  string  `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

func endpointOperations() []apidoc.Operation {
	return []apidoc.Operation{{
		Method: "POST", Path: "/api/endpoints", ID: "createEndpoint", Tag: "endpoints",
		Summary: "Make an endpoint and its key",
		Doc:     "Under an Idempotency-Key the endpoint is made once; api_key is in the first answer alone. Another slug under the same key is another endpoint.",
		Headers: apidoc.Headers(apidoc.IdempotencyKey),
		Body:    &apidoc.Body{Of: createEndpointBody{}},
		Answers: []apidoc.Answer{{Status: 201, Doc: "It is made.", Of: apidoc.Data[endpointMade]{}, Headers: apidoc.Headers(apidoc.Location, apidoc.QuipuPosition)}},
		Refusals: refusals([]apidoc.Refusal{
			badAPIBody[0], badKey, keyReused,
			{Status: 422, Code: "INVALID_BODY", Field: "/slug", Message: "is missing; give the endpoint a slug, such as coffee-shop"},
			{Status: 422, Code: "INVALID_SLUG", Field: "/slug", Message: "has a character that is not allowed; write 1 to 64 lower-case letters, digits and inner hyphens, such as coffee-shop"},
		}, notDone),
	}}
}
