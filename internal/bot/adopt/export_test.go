package adopt

// Assignments is for its tests.
var Assignments = assignments
