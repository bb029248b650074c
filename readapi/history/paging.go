package history

import (
	"context"
	"errors"

	"quipu/domain"
	"quipu/projections/view"
	"quipu/readapi/params"
)

// limitDefault is how many items a page has unless asked otherwise (contract D18).
const limitDefault = 50

// pagingParams are those of every list (contract D18, D22).
type pagingParams struct {
	Limit    *int            `query:"limit" min:"1" max:"200" doc:"Items per page, 50 unless given. A page of large items may hold fewer and still have a next_cursor."`
	Cursor   string          `query:"cursor" max:"512" doc:"next_cursor of the page before, with the same filters and order."`
	Offset   *int            `query:"offset" min:"0" max:"100000" doc:"Items to pass over; for longer ways use cursor."`
	Page     *int            `query:"page" min:"1" max:"100001" doc:"Page from 1 on, an alias of offset; counts the total unless total=false."`
	PageSize *int            `query:"page_size" min:"1" max:"200" doc:"Alias of limit."`
	Order    string          `query:"order" enum:"asc,desc" doc:"By position: oldest or newest first."`
	Total    *bool           `query:"total" doc:"Count all items that match, up to 10001."`
	AtLeast  params.Position `query:"at_least" doc:"Do not answer from a view that has not come this far: 503 STALE instead."`
}

// paging is pagingParams checked against the list it is for.
type paging struct {
	list    list
	filters filterHash
	page    view.Page
	asOf    domain.Position // of the cursor
	atLeast domain.Position
	offset  *int // as asked for
}

// check turns p into a page of a list. ascending is the list's own order.
// Errors: ErrUnprocessable naming the parameters at fault; ErrConflict LOG_CHANGED.
func (p pagingParams) check(l list, log domain.LogID, ascending bool, filters ...string) (paging, error) {
	if p.Order != "" {
		ascending = p.Order == "asc"
	}
	out := paging{list: l, filters: hashFilters(filters...), page: view.Page{Limit: limitDefault, Ascending: ascending}}
	var errs []error
	switch {
	case p.Limit != nil && p.PageSize != nil:
		errs = append(errs, params.Fault("page_size", "is another name of limit; give one of them"))
	case p.Limit != nil:
		out.page.Limit = *p.Limit
	case p.PageSize != nil:
		out.page.Limit = *p.PageSize
	}
	if p.Offset != nil && p.Page != nil {
		errs = append(errs, params.Fault("page", "says the same as offset; give one of them"))
	}
	if p.Cursor != "" && (p.Offset != nil || p.Page != nil) {
		errs = append(errs, params.Fault("cursor", "goes on from a page; give it without offset and page"))
	}
	if p.Offset != nil {
		out.page.Offset = *p.Offset
	} else if p.Page != nil {
		if out.page.Offset = (*p.Page - 1) * out.page.Limit; out.page.Offset > view.OffsetMax {
			errs = append(errs, params.Fault("page", "lies beyond item 100000; go on with next_cursor, or narrow the filters"))
		}
	}
	if p.Offset != nil || p.Page != nil {
		out.offset = &out.page.Offset
	}
	out.page.Total = p.Page != nil
	if p.Total != nil {
		out.page.Total = *p.Total
	}
	if err := out.goOn(p.Cursor, log); err != nil {
		errs = append(errs, err)
	}
	if p.AtLeast.Given() && p.AtLeast.Log != log {
		errs = append(errs, logChanged("at_least", log))
	}
	out.atLeast = p.AtLeast.At
	return out, errors.Join(errs...)
}

// goOn places the page after a cursor.
func (p *paging) goOn(word string, log domain.LogID) error {
	if word == "" {
		return nil
	}
	bad := func(message string) error {
		return domain.E(domain.KindUnprocessable, "", "", message).WithField("query/cursor").WithCode("INVALID_CURSOR")
	}
	c, ok := parseCursor(word)
	switch {
	case !ok:
		return bad("is no cursor of this API; give next_cursor of the page before as it was, or begin without one")
	case c.list != p.list:
		return bad("belongs to another list; begin without a cursor")
	case c.log != log:
		return logChanged("cursor", log)
	case c.ascending != p.page.Ascending || c.filters != p.filters:
		return bad("was made with other filters or another order; give the same ones, or begin without a cursor")
	}
	p.page.Key, p.asOf = c.key, c.asOf
	return nil
}

// logChanged says that positions of another log do not compare (contract D4).
func logChanged(name string, log domain.LogID) error {
	return domain.E(domain.KindConflict, "", "", "belongs to another log than the one here; begin anew without it").
		WithField("query/" + name).WithCode("LOG_CHANGED").WithDetails(map[string]any{"log": string(log)})
}

// inLog checks a position that a client gave. Errors: ErrConflict LOG_CHANGED.
func inLog(name string, p params.Position, log domain.LogID) error {
	if p.Given() && p.Log != log {
		return logChanged(name, log)
	}
	return nil
}

// checkHead refuses to wait for a position that does not exist.
func (r *Routes) checkHead(ctx context.Context, atLeast domain.Position) error {
	if atLeast == 0 {
		return nil
	}
	head, err := r.deps.Log.Head(ctx)
	if err != nil {
		return err
	}
	if atLeast > head {
		return domain.E(domain.KindUnprocessable, "", "", "lies beyond the head of the log").WithField("query/at_least").
			WithCode("BEYOND_HEAD").WithDetails(map[string]any{"head": head.Cursor(r.deps.Log.ID())})
	}
	return nil
}
