package intakehttp

import "quipu/apidoc"

type createEndpointBody struct {
	Slug string `json:"slug" example:"coffee-shop" doc:"1 to 64 lower-case letters, digits and inner hyphens."`
}

type endpointMade struct {
	Endpoint  string `json:"endpoint" example:"coffee-shop-e66b8d23"`
	Slug      string `json:"slug" example:"coffee-shop"`
	APIKey    string `json:"api_key" doc:"Shown this once; the log holds its hash alone." example:"qk_0123456789abcdefghijklmnopqrstuv"`
	CreatedAt string `json:"created_at" format:"date-time" example:"2025-09-02T09:42:05.043Z"`
	Position  string `json:"position" example:"644bdb7e-a5f6-4f73-9fd3-067000e8c6c3-000000000000002a"`
}

func endpointOperations() []apidoc.Operation {
	return []apidoc.Operation{{
		Method: "POST", Path: "/api/endpoints", ID: "createEndpoint", Tag: "endpoints",
		Summary: "Make an endpoint and its key",
		Body:    &apidoc.Body{Of: createEndpointBody{}},
		Answers: []apidoc.Answer{{Status: 201, Doc: "It is made.", Of: apidoc.Data[endpointMade]{}, Headers: apidoc.Headers(apidoc.Location, apidoc.QuipuPosition)}},
		Refusals: refusals([]apidoc.Refusal{
			badAPIBody[0],
			{Status: 422, Code: "INVALID_BODY", Field: "/slug", Message: "is missing; give the endpoint a slug, such as coffee-shop"},
			{Status: 422, Code: "INVALID_SLUG", Field: "/slug", Message: "has a character that is not allowed; write 1 to 64 lower-case letters, digits and inner hyphens, such as coffee-shop"},
		}, notDone),
	}}
}
