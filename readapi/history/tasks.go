package history

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"quipu/domain"
	"quipu/readapi/object"
)

// tasks answers GET /api/executions/:id/tasks: every iteration of every task that began or was
// skipped, in that order, with its ids and offsets.
func (r *Routes) tasks(c *fiber.Ctx) error {
	return r.byID(c, func(ctx context.Context, s *story) ([]byte, error) {
		shown := valueShow{r, ctx, s.row.ID, r.options.InlineBytesMax}
		o := object.New(make([]byte, 0, 2048))
		o.Open("data")
		o.Key("items")
		o.B = append(o.B, '[')
		for _, t := range s.began {
			o.Item()
			o.B = append(o.B, '{')
			if err := r.task(o, s, t, shown); err != nil {
				return nil, err
			}
			o.Close()
		}
		o.B = append(o.B, ']')
		o.Int("count", int64(len(s.began)))
		o.Str("execution_id", s.row.ID)
		o.Str("execution_status", string(s.row.Status))
		o.Int("last_offset", int64(s.row.LastOffset))
		o.Close()
		o.Str("status", "success")
		return o.Done(), nil
	})
}

func (r *Routes) task(o *object.Builder, s *story, t *taskStory, shown valueShow) error {
	o.Str("name", t.Task.Task)
	o.StrOrNull("task_id", t.TaskID)
	o.Int("iteration", int64(t.Iteration))
	o.StrOrNull("type", s.byName[t.Task.Task].typ)
	if err := nodeFields(o, t, shown); err != nil {
		return err
	}
	o.Millis("duration_ms", t.StartedAt, t.EndedAt)
	o.Int("started_offset", int64(t.StartedOffset))
	if t.EndedOffset == domain.NoStream {
		o.Null("ended_offset")
	} else {
		o.Int("ended_offset", int64(t.EndedOffset))
	}
	return nil
}
