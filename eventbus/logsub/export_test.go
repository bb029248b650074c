package logsub

// WindowMax is the bound that a test counts to.
const WindowMax = windowMax
