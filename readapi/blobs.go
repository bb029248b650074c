package readapi

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
)

// Blobs is where large payloads are read from.
type Blobs interface {
	// Get returns the content of a lower-case hex SHA-256. Errors: ErrNotFound, ErrInvalid, ErrCorrupt.
	Get(ctx context.Context, sha256 string) ([]byte, error)
}

// blobTimeout bounds reading one blob.
const blobTimeout = 10 * time.Second

// RegisterBlobs serves /blobs/:sha256, where the links of frames and results lead to. A blob holds
// a payload as stored: null in the place of each secret. Its name is its content, so it never
// changes and caches may keep it.
func RegisterBlobs(app fiber.Router, blobs Blobs) {
	app.Get("/blobs/:sha256", func(c *fiber.Ctx) error {
		sha := string(append([]byte(nil), c.Params("sha256")...))
		ctx, cancel := context.WithTimeout(c.UserContext(), blobTimeout)
		defer cancel()
		content, err := blobs.Get(ctx, sha)
		if err != nil {
			if k := domain.KindOf(err); k == domain.KindInvalid || k == domain.KindNotFound {
				return domain.E(domain.KindNotFound, "", "", "no such blob").WithField("path/sha256").WithCode("BLOB_UNKNOWN")
			}
			return err
		}
		c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
		c.Set(fiber.HeaderCacheControl, "private, max-age=31536000, immutable")
		c.Set(fiber.HeaderETag, `"`+sha+`"`)
		return c.Send(content)
	})
}
