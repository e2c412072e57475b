// Words that prompts are made of, commonest first, and endings: the vocabulary of the demo tokeniser.

export const WORDS = `a the of and in on with to at is by from over under into through near behind above below
between around across along against beneath beside inside outside between up down out off left right front back
an it its his her their that this these those one two three four five six seven eight nine ten some many few all
man woman boy girl child children people person crowd friend family baby old young tall small big large tiny huge
cat dog horse bird fish lion tiger bear wolf fox rabbit mouse elephant monkey snake frog turtle duck chicken cow
pig sheep goat deer owl eagle parrot penguin whale dolphin shark octopus crab bee butterfly dragon robot unicorn
red green blue yellow orange purple pink brown black white gray grey gold golden silver dark light bright pale
deep colorful colourful vivid soft hard smooth rough shiny wet dry hot cold warm cool fresh burning frozen melting
ball box cube sphere circle square triangle line star heart ring wheel book lamp candle mirror clock phone camera
car truck bus train bicycle bike motorcycle boat ship airplane plane helicopter rocket balloon spaceship submarine
house home castle tower bridge building skyscraper city town village street road path alley market shop cafe
restaurant kitchen room bedroom window door wall roof floor stairs garden park field farm forest jungle woods
tree flower grass leaf leaves rose sunflower mountain hill valley river lake sea ocean beach island desert cave
waterfall volcano sky cloud clouds sun moon stars rain snow storm lightning thunder wind fog mist ice fire smoke
flame water wave waves sand stone rock dust night day morning evening dawn dusk sunset sunrise noon midnight
spring summer autumn fall winter space planet earth galaxy universe nebula
running walking jumping flying swimming dancing singing playing sitting standing sleeping eating drinking looking
watching smiling laughing crying talking riding driving falling rising floating rolling bouncing spinning turning
moving rotating glowing shining blowing flowing crashing exploding growing blooming opening closing holding
throwing catching climbing diving surfing skiing skating painting cooking reading writing working fighting
runs walks jumps flies swims dances sings plays sits stands sleeps eats drinks looks watches smiles rides drives
falls rises floats rolls bounces spins turns moves glows shines blows flows opens closes holds throws climbs
slow slowly fast quickly gently softly smoothly suddenly calm peaceful quiet wild strong gentle beautiful pretty
cute lovely scary mysterious magical ancient modern futuristic vintage retro classic elegant simple detailed
realistic photorealistic cinematic dramatic epic surreal abstract minimal dreamy fantasy cyberpunk steampunk noir
film movie video shot scene clip frame close closeup wide angle aerial view drone camera pan zoom tracking handheld
macro timelapse slow motion focus bokeh depth lens light lighting shadow shadows reflection neon sunlight moonlight
style art painting watercolor oil sketch drawing cartoon anime animation pixel clay paper glass metal wood wooden
plastic fabric silk leather wool crystal marble concrete brick rusty chrome
wearing dressed dress shirt hat coat jacket suit shoes boots glasses mask helmet armor crown scarf umbrella sword
hair face eyes eye hand hands arm arms leg legs head mouth nose ear tail wing wings feather fur skin
coffee tea cup bottle bowl plate bread cake pizza fruit apple banana orange strawberry lemon cheese chocolate ice
cream wine table chair sofa bed desk computer screen keyboard guitar piano violin drum music stage concert
high low quality resolution full half long short thin thick round flat empty busy crowded background foreground
center middle top bottom side edge corner distance horizon surface texture pattern scenery landscape portrait
during while as then when where who which what there here after before until again away together alone very more
most less only just like no not and or but for with without can will being been be are was were has have had
time year world life way thing things place part hand number word story magic dream power energy love peace hope
field meadow stadium arena library museum temple church palace ruins harbor station airport factory laboratory
soldier knight king queen princess wizard witch astronaut pilot chef doctor teacher artist dancer singer musician
`;

export const ENDINGS = `s es ed ing er est ly y tion sion ment ness able ible al ial ous ful less ive ity ism ist ant
ent ence ance en ern ory ary age ate ize ise ify th ty ward wards ship hood dom like man men land side light
un re in im dis pre over under out up super sub inter trans micro mini mega auto photo bio geo tele
qu ch sh th ph wh ck ng nk nd nt mp st sp sk sc sw sm sn sl tr dr br cr fr gr pr bl cl fl gl pl str spr thr shr
ee ea oo ou ow oi oy ai ay au aw ie ei igh ough tch dge
`;
