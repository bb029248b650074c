package eventbus

// Held reports the position handed on and, in bytes, what is held for feeds.
func (h *Hub) Held(bytes *int) int {
	h.topics.mu.Lock()
	defer h.topics.mu.Unlock()
	*bytes = h.topics.bytes
	return int(h.topics.position)
}
