/**
 * A plain text, written for this library and public: how well a model goes on with it, before and after training, shows what was forgotten.
 * It is about nothing that a data set would be about.
 */
export const PUBLIC_TEXT: readonly string[] = [
	"The old bridge crosses the river near the mill. In spring the water is high and brown, and in late summer children walk across the stones. A man from the town comes every month to look at the beams, because wood that stays wet begins to rot. He writes what he finds in a small book.",
	"A library lends books to people who live nearby. Each reader has a card with a number. Most books may be kept for three weeks, and a reader who needs more time can ask for it once. Maps and very old books stay in the building, where they are read at a long table under a window.",
	"To bake bread, mix flour, water, salt and yeast, and let the dough rest until it has doubled in size. Shape it, let it rise again, and bake it in a hot oven until the crust is brown. Bread that sounds hollow when it is tapped is done. Let it cool before it is cut.",
	"The train to the coast leaves at seven in the morning and stops in every village. It is slow, but the windows are wide, and after the last tunnel the sea is suddenly there. Many people take it on Saturdays. They carry baskets, and in the evening they come back with sand in their shoes.",
	"Snow falls when the air is cold enough from the clouds down to the ground. Each flake is a crystal of ice with six arms, and it grows as water vapor freezes onto it. Fresh snow holds much air, which makes it soft and quiet. When it melts and freezes again, it turns into hard ice.",
];
